"""A run's models: the fine-tunes have names of their own in the spec, what they start from is `base`."""

from __future__ import annotations

from typing import Annotated, Literal

from med42lib.core.config import written_as

BASE = "base"
_SEED = "_seed"
Precision = Literal["float32", "bfloat16", "float16"]
"""Number format of weights, as torch calls it."""

_NAME_RULE = "lower-case letters, digits and _, at most 31, a letter first"
ModelName = Annotated[str, written_as(r"[a-z][a-z0-9_]{0,30}", _NAME_RULE)]
"""Name of a trained model: up to 31 lower-case letters, digits and `_`."""


def name_of_seed(name: str, number: int) -> str:
    """Name the training of a model with its `number`-th seed, from 1: `lora`, `lora_seed2`, `lora_seed3`."""
    return name if number == 1 else f"{name}{_SEED}{number}"


def trained_as(name: str) -> str:
    """Name the model of which a training is one: `lora` for `lora` and `lora_seed2`."""
    first, mark, number = name.rpartition(_SEED)
    return first if mark and number.isdigit() else name
