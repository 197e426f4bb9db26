"""What a run will take, worked out from its spec before anything is downloaded or spent.

Doors, the modules that other rooms may import:

    mixture          rows and tokens of each source, counted or estimated
    base_model       the base model's config.json, found or known by the model's name
    readiness        whether inputs, store and MLflow can be used from here
    hardware         GPUs and clusters that are known by name
    decontamination  what is embedded and compared, and for how long
    duration         steps, arithmetic and hours of a training
    room             main memory, disk and object storage that a training needs
    training         whether a training fits a cluster, and the smallest that it fits
    scoring          whether pods without GPUs hold the models that they score

`commands.plan` writes out what the others work out; `pipelines.compile` asks `base_model.check_base` whether the spec
fits its base model.
"""
