"""Mirrors the base model into the store, once: weights as safetensors, and a fast tokenizer."""
