"""Stage `decontaminate`: finds evaluation questions in the training data, reworded or not (paper, appendix A.4).

Doors, the modules that other rooms may import:

    config            its settings
    embedding.layout  by which file an encoder is known
"""
