"""What training needs of a DeepSpeed engine, so that another may take its place in tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor


class Engine(Protocol):
    """A model with its optimiser, both of which may be split between processes."""

    device: torch.device
    optimizer: Any

    def __call__(self, **inputs: object) -> Any:
        """Run the model."""

    def backward(self, loss: Tensor, *, scale_wrt_gas: bool) -> object:
        """Add the loss's gradients, averaged over processes."""

    def step(self) -> None:
        """Update the weights if this was the step's last forward pass."""

    def train(self, mode: bool) -> object:
        """Switch what is for training alone, such as dropout, on or off."""

    def get_global_grad_norm(self) -> float | Tensor | None:
        """Give the norm of the last update's gradients, over all parameters, before clipping."""


@contextmanager
def evaluating(engine: Engine) -> Iterator[None]:
    """Run the model as it is outside training, without dropout and gradients; after the block it trains again."""
    engine.train(mode=False)
    try:
        with torch.no_grad():
            yield
    finally:
        engine.train(mode=True)
