"""Stage `register`: records a finished run in MLflow and registers its model, with a model card.

MLflow is a view of the store, never the truth.

Doors, the modules that other rooms may import:

    config  its settings
"""
