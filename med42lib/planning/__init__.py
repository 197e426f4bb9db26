"""What a run will take, worked out from its spec before anything is downloaded or spent.

Doors, the modules that other rooms may import:

    mixture       rows and tokens of each source, counted or estimated
    base_model    the base model's config.json, found or known by the model's name
    readiness     whether inputs, store and MLflow can be used from here
    training      parameters and memory of a training

`commands.plan` writes out what the others work out; `pipelines.compile` asks `base_model.find_base` whether chunks fit.
"""
