"""The learning rate of each step: linear warm-up, then a cosine down to a share of the peak."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Schedule:
    """Linear warm-up and cosine decay (paper, section "Hyperparameters").

    The first step's rate is already above zero, and the last step's is exactly `min_ratio * peak`:

        step (of 6, 2 of warm-up)   0     1     2     3     4     5
        rate / peak                 0.5   1.0   0.87  0.55  0.23  0.1
    """

    peak: float
    num_warmup_steps: int
    num_steps: int
    min_ratio: float

    def rate(self, step: int) -> float:
        """Give the learning rate of a step, counted from 0."""
        if step < self.num_warmup_steps:
            return self.peak * (step + 1) / self.num_warmup_steps
        done = (step + 1 - self.num_warmup_steps) / (self.num_steps - self.num_warmup_steps)
        cosine = (1 + math.cos(math.pi * done)) / 2
        return self.peak * (self.min_ratio + (1 - self.min_ratio) * cosine)
