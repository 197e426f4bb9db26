"""A tiny Llama with random weights, which tests of several stages make for themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def make_llama(**settings: Any) -> LlamaForCausalLM:
    """Make one with these settings of `LlamaConfig`; where they say nothing, its sizes are `SIZES`."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**{**SIZES, **settings}))
