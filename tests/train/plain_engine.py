"""Plain PyTorch in DeepSpeed's place."""

from typing import Any

import torch
from torch import Tensor


class PlainEngine:
    """Accumulates gradients over a step's forward passes, then updates, as a DeepSpeed engine does."""

    device = torch.device("cpu")

    def __init__(self, model: Any, passes_per_step: int) -> None:
        self.model = model
        self.optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        self._passes_per_step = passes_per_step
        self._passes = 0
        self._norm = 0.0

    def __call__(self, **inputs: object) -> Any:
        return self.model(**inputs)

    def backward(self, loss: Tensor, *, scale_wrt_gas: bool) -> None:
        assert not scale_wrt_gas
        loss.backward()  # type: ignore[no-untyped-call]

    def step(self) -> None:
        self._passes += 1
        if self._passes % self._passes_per_step == 0:
            self._norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0))
            self.optimizer.step()
            self.optimizer.zero_grad()

    def train(self, mode: bool) -> None:
        self.model.train(mode)

    def get_global_grad_norm(self) -> float:
        return self._norm
