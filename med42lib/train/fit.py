"""How long a training is, and whether its settings fit its length and its processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from med42lib.core.errors import DataError, Problem
from med42lib.train.config import TrainConfig

if TYPE_CHECKING:
    from med42lib.formats.packed import PackInfo


def count_steps(num_chunks: int, config: TrainConfig) -> int:
    """Count the optimiser steps of a whole training; an epoch's last step may be smaller than the others."""
    num_steps = config.epochs * -(-num_chunks // config.global_batch_size)
    return num_steps if config.max_steps is None else min(num_steps, config.max_steps)


def is_validated(step: int, num_chunks: int, config: TrainConfig) -> bool:
    """Say whether the loss on held-out chunks is measured after so many steps."""
    per_epoch = -(-num_chunks // config.global_batch_size)
    return step % (config.validation_steps or per_epoch) == 0 or step == count_steps(num_chunks, config)


def check_held_out(config: TrainConfig, info: PackInfo, address: str) -> None:
    """Make sure that there is a validation loss where it decides the result.

    Raises:
        DataError: If nothing is held out that has a loss.
    """
    if config.load_best_model_at_end and not info.num_validation_response_tokens:
        raise DataError(
            f"load_best_model_at_end goes by the loss on held-out responses, and {address} holds out none; raise "
            "pack.validation_share, or set load_best_model_at_end to false"
        )


def fit_problems(config: TrainConfig, *, processes: int, num_steps: int | None) -> Iterator[Problem]:
    """List what does not fit.

    Args:
        config: How to train.
        processes: Training processes, over all machines.
        num_steps: Optimiser steps of the whole training; None where it is not known.
    """
    per_forward = processes * config.micro_batch_size
    if config.global_batch_size % per_forward:
        yield Problem(
            "global_batch_size",
            f"must be a multiple of {per_forward}: {processes} training processes times "
            f"micro_batch_size = {config.micro_batch_size} (given: {config.global_batch_size})",
        )
    if num_steps is not None and config.warmup_steps >= num_steps:
        yield Problem(
            "warmup_steps", f"must be less than the {num_steps} steps of the training (given: {config.warmup_steps})"
        )
