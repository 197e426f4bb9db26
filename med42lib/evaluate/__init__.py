"""Stage `evaluate`: scores one model on the benchmark items with lm-eval, by itself or what shards have answered.

Doors, the modules that other rooms may import:

    answering.config  settings of the shards' stage, `answer_questions`
    config            its settings
"""
