"""What memory this training's processes have, and what settings that leave something open become with it."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import distributed

from med42lib.core.environment import memory_bytes
from med42lib.core.errors import DataError
from med42lib.core.json_file import read_json
from med42lib.core.log import log
from med42lib.formats.model_config import CONFIG_FILE
from med42lib.formats.packed import PackInfo
from med42lib.train.attention import hardware_here
from med42lib.train.config import ResolvedConfig, TrainConfig
from med42lib.train.memory import USABLE_SHARE, copy_bytes
from med42lib.train.memory_choice import choose
from med42lib.train.shapes import Shapes
from med42lib.train.worker.step_metrics import warn_of_float32

_GIBIBYTE = 1 << 30


def choose_here(config: TrainConfig, base: Path, info: PackInfo) -> ResolvedConfig:
    """Settle what the settings leave open, by the memory of the process that has least; the same on every process.

    Args:
        config: How to train.
        base: Folder of the base model.
        info: Of the packed data.
    """
    device, host = _least_memory()
    shapes, num_processes = _shapes(base), distributed.get_world_size()
    copied = 0.0 if shapes is None else copy_bytes(shapes, config, num_processes)
    masked = shapes is not None and shapes.attention.takes_mask(
        config, hardware_here(), chunk_length=info.chunk_length, policy=info.policy
    )
    resolved = choose(
        config,
        shapes,
        chunk_length=info.chunk_length,
        masked=masked,
        num_processes=num_processes,
        usable_bytes=USABLE_SHARE * device - (0 if torch.cuda.is_available() else copied),
        host_bytes=host,
    )
    if distributed.get_rank() == 0:
        checkpointing = "with" if resolved.gradient_checkpointing else "without"
        log("train").info("trains with ZeRO-%d, %s gradient checkpointing", resolved.zero_stage, checkpointing)
        _warn_of_copy(copied, host)
        warn_of_float32(config.precision)
    return resolved


def _shapes(base: Path) -> Shapes | None:
    """Read the model's sizes; None, and told, if it is of a kind that has others."""
    config = read_json(base / CONFIG_FILE, "run fetch_model again")
    try:
        return Shapes.read(config)
    except DataError as error:
        if distributed.get_rank() == 0:
            log("train").info("the memory that this model needs is not worked out: %s", error)
        return None


def _warn_of_copy(copied: float, host: int) -> None:
    if copied > host:
        log("train").warning(
            "each process saves checkpoints from a copy of %.1f GiB in main memory, of which it has %.1f: the first "
            "checkpoint may end the training; give it more memory, or more processes",
            copied / _GIBIBYTE,
            host / _GIBIBYTE,
        )


def _least_memory() -> list[int]:
    """Size a process's GPU, main memory without one, and its part of the main memory; the least over all processes."""
    host, on_gpu = memory_bytes() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.is_available()
    device = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory if on_gpu else host
    least = torch.tensor([device, host], dtype=torch.int64, device="cuda" if on_gpu else "cpu")
    distributed.all_reduce(least, distributed.ReduceOp.MIN)
    found: list[int] = least.tolist()
    return found
