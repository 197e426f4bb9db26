"""Stage `pack`: training examples become chunks of tokens, with the loss on the responses only.

Doors, the modules that other rooms may import:

    config  its settings
    limits  whether chunks fit a model's context
    stage   the stage as a function, for the demo
"""
