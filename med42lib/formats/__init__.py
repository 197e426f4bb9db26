"""The contracts between stages: each file that one writes and another reads.

Doors, the modules that other rooms may import:

    chat_template      the prompt format as a chat template, beside a trained tokenizer
    contamination      matches of benchmark items in the training data
    dataset            training examples in Parquet
    item_counts        what became of each benchmark's questions
    item_limit         how many items of a benchmark are kept or scored, and which
    lora_layers        the tensors that an adapter is on
    merging            merges an adapter into its base; imports torch
    messages           examples in the form that other trainers read
    mixture_table      counts of each source, beside the paper's Table A1
    model_card         a model's card in the hub's format, and the licence that one states
    model_config       a model's config.json
    model_folder       the folder of a model that MLflow can load
    model_loading      loads a language model; imports torch
    models             names of a run's models, number formats of their weights
    packed             chunks of tokens
    parquet            opens a stranger's Parquet file
    prompt             the prompt format
    recipe             what was trained, in numbers
    records            a training example, a benchmark item
    rejects            records that are set aside, with the reason
    report             what the report calls its lines and numbers
    run_settings       the checked settings of a whole run
    scores             a model's answers to benchmark items
    shards             settings of tasks that share a stage's work
    stored_weights     a model's tensors as its files name and cut them
    tokenizer_loading  loads a model's tokenizer
    validation         the loss on held-out examples, and whether it rises
    written            numbers and benchmarks' names, as report and model card write them
"""
