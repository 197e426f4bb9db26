"""Which stage of ZeRO, and whether layers keep their activations, where settings say `auto`: the first that fits.

    ZeRO-1    ZeRO-1, checkpointing    ZeRO-2    ZeRO-2, checkpointing    ZeRO-3    ZeRO-3, checkpointing
    fast ─────────────────────────────────────────────────────────────────────────────────► little memory

Plans and training processes ask the same function, so they agree where a plan's cluster is what trains. It is asked
anew whenever a training starts, and answers the same as long as processes and memory are the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import get_args

from med42lib.train.config import ResolvedConfig, TrainConfig, ZeroStage
from med42lib.train.memory import Workload, gpu_memory, loading_bytes
from med42lib.train.shapes import Shapes

_MARGIN = 1.1
"""Memory is worked out to within a tenth of what is measured (`tests/train/test_memory.py`)."""


def variants(config: TrainConfig) -> Iterator[ResolvedConfig]:
    """Give the same training with each ZeRO stage, with and without checkpointing, in the order above.

    A base in four bits is not split, so there is no ZeRO-3 for it.
    """
    stages = [stage for stage in get_args(ZeroStage) if stage != 3 or config.method != "qlora"]
    for stage, checkpointing in product(stages, (False, True)):
        settled = {"zero_stage": stage, "gradient_checkpointing": checkpointing}
        yield ResolvedConfig.model_validate({**config.model_dump(), **settled})


def choose(
    config: TrainConfig,
    shapes: Shapes | None,
    *,
    chunk_length: int,
    masked: bool,
    num_processes: int,
    usable_bytes: float,
    host_bytes: float = math.inf,
) -> ResolvedConfig:
    """Settle what the settings leave open, and keep what they say.

    Args:
        config: How to train.
        shapes: Of the model; None if they are not known, for which the last stage without checkpointing is taken.
        chunk_length: Slots of a chunk.
        masked: Whether attention takes a mask over all pairs of a chunk's slots.
        num_processes: Training processes, over all machines.
        usable_bytes: Memory that the tensors of each process can have.
        host_bytes: Main memory of each process, through which the model is loaded; of a GPU that is only planned for,
            nobody knows it.

    Returns:
        The first that fits with a margin of a tenth; what needs the least memory if none does. A model whose layers
        keep more than is worked out keeps none of it.
    """
    if shapes is not None and not shapes.measured and config.gradient_checkpointing == "auto":
        config = config.model_copy(update={"gradient_checkpointing": True})
    allowed = [variant for variant in variants(config) if _keeps(variant, config)]
    if shapes is None:
        return max(allowed, key=lambda variant: (variant.zero_stage, not variant.gradient_checkpointing))
    for variant in allowed:
        work = Workload(variant, chunk_length, masked)
        needed = gpu_memory(shapes, work, num_processes).total
        if needed * _MARGIN <= usable_bytes and loading_bytes(shapes, work) <= host_bytes:
            return variant
    return allowed[-1]


def _keeps(variant: ResolvedConfig, config: TrainConfig) -> bool:
    """Say whether a variant is as the settings say where they say anything."""
    return config.zero_stage in ("auto", variant.zero_stage) and (
        config.gradient_checkpointing in ("auto", variant.gradient_checkpointing)
    )
