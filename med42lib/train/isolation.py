"""Whether a model keeps the samples of a chunk apart, and looks at no later token, tried on the model itself.

Samples packed by `best_fit` are told apart by their positions alone, which begin again with each. Many architectures
make their attention mask of them; others do not use them for it, or carry a state along, and a sample would be learned
with another before its eyes.

    tokens      a a a a a a a a b b b b b b b b        change the a's: the logits of the b's must stay
    positions   0 1 2 3 4 5 6 7 0 1 2 3 4 5 6 7
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from med42lib.core.errors import DataError

_LENGTH = 8
_ROUNDING = 1e-2
"""Of what a change of the sample's own first token moves the logits behind it; what must not be seen moves as much."""


def check_isolation(model: Callable[..., Any], *, num_tokens: int, name: str, device: torch.device) -> None:
    """Make sure that a sample's logits do not depend on the sample before it; every process has to call this.

    Args:
        model: Called as training calls it, with parameters that are split or not; neither dropout nor gradients are on.
        num_tokens: Ids to choose the tokens from begin at 0 and end before this.
        name: The architecture, for the message.
        device: The model's.

    Raises:
        DataError: If they do.
    """
    ids = torch.arange(2 * _LENGTH, device=device)[None] * 7 % num_tokens
    first, second = slice(0, _LENGTH), slice(_LENGTH, None)
    if _reads(model, ids, hidden=first, watched=second, own=_LENGTH, num_tokens=num_tokens):
        raise DataError(
            f"{name} reads one sample of a chunk into the next, although pack.policy best_fit keeps samples apart: it "
            "was tried on the base model before training. Set pack.policy to concatenate, or use another base model"
        )


def check_causality(model: Callable[..., Any], *, num_tokens: int, name: str, device: torch.device) -> None:
    """Make sure that logits do not depend on later tokens; every process has to call this.

    transformers gives models like BERT an output layer too, and lets them look both ways: they would learn to copy.

    Args:
        model: Called as training calls it, with parameters that are split or not; neither dropout nor gradients are on.
        num_tokens: Ids to choose the tokens from begin at 0 and end before this.
        name: The architecture, for the message.
        device: The model's.

    Raises:
        DataError: If they do.
    """
    ids = torch.arange(_LENGTH, device=device)[None] * 7 % num_tokens
    last, before = slice(-1, None), slice(0, -1)
    if _reads(model, ids, hidden=last, watched=before, own=0, num_tokens=num_tokens):
        raise DataError(
            f"{name} looks at tokens that come later, so it would learn to copy an answer and not to give it: it was "
            "tried on the base model before training. Use a causal language model"
        )


def _reads(model: Callable[..., Any], ids: Tensor, *, hidden: slice, watched: slice, own: int, num_tokens: int) -> bool:
    """Say whether other tokens at `hidden` move the logits at `watched`, held against those that token `own` moves."""

    def changed(place: slice) -> Tensor:
        other = ids.clone()
        other[:, place] = (other[:, place] + 1) % num_tokens
        return _logits(model, other)

    seen, leaked, moved = _logits(model, ids), changed(hidden), changed(slice(own, own + 1))
    return bool((leaked - seen)[watched].abs().max() > _ROUNDING * (moved - seen)[own + 1 :].abs().max())


def _logits(model: Callable[..., Any], ids: Tensor) -> Tensor:
    """Give the logits of samples of `_LENGTH` tokens that follow one another."""
    positions = torch.arange(ids.shape[1], device=ids.device)[None] % _LENGTH
    logits: Tensor = model(input_ids=ids, position_ids=positions, use_cache=False).logits
    return logits[0].float()
