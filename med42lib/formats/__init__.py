"""The contracts between stages: each file that one writes and another reads.

Doors, the modules that other rooms may import:

    contamination      matches of benchmark items in the training data
    dataset            training examples in Parquet
    mixture_table      counts of each source, beside the paper's Table A1
    model_config       a model's config.json
    model_folder       the folder of a model that MLflow can load
    model_loading      loads a language model; imports torch
    models             names of a run's models
    packed             chunks of tokens
    parquet            opens a stranger's Parquet file
    prompt             the prompt format
    records            a training example, a benchmark item
    rejects            records that are set aside, with the reason
    tokenizer_loading  loads a model's tokenizer
"""
