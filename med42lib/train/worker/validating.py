"""Measuring the loss on what `pack` holds out while a training goes on, and warning when it rises."""

from __future__ import annotations

import math
import time
from typing import Any

from torch import distributed

from med42lib.core.log import log
from med42lib.formats.packed import PackedDataset
from med42lib.formats.validation import VALIDATION_LOSS, find_rise
from med42lib.store.artifacts import Target
from med42lib.train.config import TrainConfig
from med42lib.train.fit import is_validated
from med42lib.train.validation import validation_loss

VALIDATION_SECONDS = "validation_seconds"


class Validating:
    """One process's part; every process has to make the same calls. Without held-out chunks it does nothing."""

    def __init__(self, engine: Any, data: PackedDataset, config: TrainConfig, target: Target) -> None:
        self._engine, self._data, self._config, self._target = engine, data, config, target
        self._is_first = distributed.get_rank() == 0
        # What an attempt before this one has measured comes with the checkpoint, to every process.
        self._losses = {point.step: point.value for point in target.metrics.points() if point.key == VALIDATION_LOSS}
        self._rose_from: int | None = None

    @property
    def best_step(self) -> int | None:
        """The first step, of those measured so far, after which the loss was lowest; the same on every process."""
        steps = sorted(step for step in self._losses if step)
        return min(steps, key=lambda step: (math.isnan(self._losses[step]), self._losses[step]), default=None)

    def after(self, step: int) -> None:
        """Measure after so many steps, if it is time to."""
        if not self._data.validation_chunks or not is_validated(step, len(self._data), self._config):
            return
        started = time.monotonic()
        loss = validation_loss(self._engine, self._data, self._config)
        if step in self._losses:
            return
        self._losses[step] = loss
        if self._is_first:
            seconds = time.monotonic() - started
            self._target.log_metrics({VALIDATION_LOSS: loss, VALIDATION_SECONDS: seconds}, step=step)
            log("train").info("validation loss after step %d: %.3f", step, loss)
            self._warn()

    def _warn(self) -> None:
        rise = find_rise(sorted(self._losses.items()))
        if rise is not None and rise.lowest_step != self._rose_from:
            self._rose_from = rise.lowest_step
            log("train").warning(
                "the validation loss rises: %.3f now, %.3f after step %d. The model may begin to learn its data by "
                "heart; fewer epochs or a lower learning_rate may give a better one",
                rise.newest,
                rise.lowest,
                rise.lowest_step,
            )
