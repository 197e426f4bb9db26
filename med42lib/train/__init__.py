"""Stage `train`: fine-tunes a model, full or with LoRA, with DeepSpeed under torchrun.

Doors, the modules that other rooms may import:

    config     its settings
    fit        its length, and whether settings fit it
    launchers  where training processes run, and how many
    stage      the stage as a function, for the demo
"""
