"""Stage `fetch_model`: mirrors the base model into the store, once; weights as safetensors, and a fast tokenizer.

Doors, the modules that other rooms may import:

    config  its settings
"""
