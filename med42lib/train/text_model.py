"""Which weights of a multimodal model text passes through.

A vision tower, and what puts its images among the words, see nothing while texts are trained on: an adapter there would
learn nothing, and decay would shrink the weights themselves. They stay as the base has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

_OTHER_SENSES = ("vision_config", "audio_config")


def is_multimodal(model: Any) -> bool:
    """Say whether a model has parts that see or hear."""
    return any(getattr(model.config, name, None) is not None for name in _OTHER_SENSES)


def text_weights(model: Any) -> Iterable[nn.Parameter]:
    """Give the weights that text passes through: all of them, unless the model is multimodal."""
    if not is_multimodal(model):
        yield from model.parameters()
        return
    for part in (model.get_decoder(), model.get_output_embeddings()):
        yield from part.parameters()


def freeze_other_senses(model: Any) -> None:
    """Leave what text does not pass through as it is."""
    trained = {id(weight) for weight in text_weights(model)}
    for weight in model.parameters():
        weight.requires_grad_(weight.requires_grad and id(weight) in trained)
