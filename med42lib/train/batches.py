"""Which chunks make up a step, and which process takes which of them.

The order is drawn anew for every epoch and depends on the seed alone, never on the number of processes. An
epoch's last step is filled up with blanks (-1), which have no loss; so every chunk is seen once per epoch.
5 chunks, 4 per step, 2 processes, 1 chunk per forward pass, in the order 3 0 4 1 2:

               forward pass      0    1
    step 0     process 0         3    4
               process 1         0    1
    step 1     process 0         2    -
               process 1         -    -
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from med42lib.train.config import TrainConfig

BLANK = -1
"""Stands for no chunk."""


def epoch_order(num_chunks: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Shuffle the chunks' numbers by a keyed hash, which unlike a library's generator never changes."""

    def key(chunk: int) -> bytes:
        return hashlib.blake2b(f"{seed}/{epoch}/{chunk}".encode(), digest_size=16).digest()

    return np.array(sorted(range(num_chunks), key=key), np.int64)


def steps(num_chunks: int, config: TrainConfig) -> Iterator[NDArray[np.int64]]:
    """Yield the chunks of each step, shape (global_batch_size,), `BLANK` where an epoch ran out of them."""
    return islice(_all_steps(num_chunks, config), config.max_steps)


def _all_steps(num_chunks: int, config: TrainConfig) -> Iterator[NDArray[np.int64]]:
    for epoch in range(config.epochs):
        order = epoch_order(num_chunks, seed=config.seed, epoch=epoch)
        padded = np.pad(order, (0, -num_chunks % config.global_batch_size), constant_values=BLANK)
        yield from padded.reshape(-1, config.global_batch_size)


def share(step: NDArray[np.int64], *, process: int, num_processes: int, micro_batch_size: int) -> NDArray[np.int64]:
    """Give one process's chunks of a step, shape (forward passes, micro_batch_size)."""
    return step.reshape(-1, num_processes, micro_batch_size)[:, process]
