"""How long a training takes: its steps, tokens and arithmetic, and hours at a share of the GPUs' speed (MFU)."""

from __future__ import annotations

from dataclasses import dataclass

from med42lib.planning.hardware import Cluster
from med42lib.train.config import ResolvedConfig
from med42lib.train.fit import count_steps
from med42lib.train.flops import ModelFlops
from med42lib.train.memory import Workload
from med42lib.train.shapes import Shapes

_SECONDS_PER_HOUR = 3600
MFU_SOURCE = "measured with this project on one H200, a Llama of 3.2B, bfloat16, chunks of 4,096, one GPU"
_MFU_FULL = {1: 0.28, 3: 0.15}
_MFU_LORA = 0.05
_MFU_CHECKPOINTING = 0.10 / 0.15
"""Of what it is without; recomputing is not counted as work. Full, ZeRO-3: 0.10 and 0.15."""


@dataclass(frozen=True, slots=True)
class Duration:
    """What one training computes, and for how long on a cluster."""

    steps: int
    tokens: float
    """Over all epochs, padding left out."""
    flops: float
    hours: float
    gpu_hours: float


def default_mfu(config: ResolvedConfig) -> float:
    """Give the model FLOPs utilisation that was measured nearest to these settings (`MFU_SOURCE`).

    Between nodes with slow links it is less: of ZeRO-3, 20 of a V100's 125 TFLOP/s are reported over 100 Gb/s.
    """
    full = _MFU_FULL[3 if config.zero_stage == 3 else 1]
    return (full if config.method == "full" else _MFU_LORA) * (
        _MFU_CHECKPOINTING if config.gradient_checkpointing else 1.0
    )


def plan_duration(
    shapes: Shapes, work: Workload, cluster: Cluster, *, chunks: int, tokens: float, span: float, mfu: float
) -> Duration:
    """Work out a training's length.

    Args:
        shapes: Of the model.
        work: The training.
        cluster: What it runs on.
        chunks: Of the packed data.
        tokens: In these chunks.
        span: Positions of a sample or a chunk, beyond which attention does not go.
        mfu: Share of the GPUs' arithmetic that does what the model needs, in (0, 1].
    """
    steps = count_steps(chunks, work.config)
    of_epoch = count_steps(chunks, work.config.model_copy(update={"epochs": 1, "max_steps": None}))
    trained_on = tokens * steps / of_epoch
    rank = None if work.is_full else work.config.lora.rank
    # How many are a response's is not known here. As if all were: of a Llama-2 7B 2 % too much at most.
    flops = ModelFlops.of_shapes(shapes, lora_rank=rank).of_step(
        num_tokens=trained_on, num_response_tokens=trained_on, num_pairs=trained_on * span
    )
    gpu_hours = flops / (cluster.gpu.flops(work.config.precision) * mfu) / _SECONDS_PER_HOUR
    return Duration(steps, trained_on, flops, gpu_hours / cluster.num_gpus, gpu_hours)
