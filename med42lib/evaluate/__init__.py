"""Stage `evaluate`: scores one model on the benchmark items with lm-eval.

Doors, the modules that other rooms may import:

    config  its settings
"""
