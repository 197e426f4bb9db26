"""Stage `train`: fine-tunes a model, full or with LoRA, with DeepSpeed under torchrun.

Doors, the modules that other rooms may import:

    architectures          what came of trying each architecture
    checkpointed           a model as a checkpoint has it
    config                 its settings
    fit                    its length, and whether settings fit it
    flops                  arithmetic of its steps, and of GPUs at their peak
    job                    what a training's driver tells its processes
    launchers.cluster      the cluster's API server
    launchers.launcher     where training processes run, and how many
    launchers.pytorchjob   labels of a training's PyTorchJob
    launchers.template     the platform's template, and a PyTorchJob made of it
    launchers.trainjob     a TrainJob made of it
    memory                 memory that a training takes of each GPU, by part
    memory_choice          ZeRO's stage and checkpointing, chosen by that
    shapes                 parameters of a model
    stage                  the stage as a function, for the demo
"""
