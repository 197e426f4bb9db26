"""What is recorded of every training step, under the names that other trainers use.

loss, learning_rate, grad_norm, loss_scale     the last with float16 alone
tokens_per_second, tokens_per_second_per_device
mfu                                            a share; absent where the GPU's peak is not known (`train.flops`)
peak_memory_gib                                of the first process, on its GPU, or on the host without one
step_seconds                                   of the first process, as are these parts of it:
data_seconds, wait_seconds, forward_seconds, backward_seconds, optimizer_seconds
checkpoint_seconds                             what a step's saving took, where there was one; not in step_seconds
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed

from med42lib.core.log import log
from med42lib.formats.models import Precision
from med42lib.train.config import TrainConfig
from med42lib.train.flops import ModelFlops, model_flops, peak_flops
from med42lib.train.loop import StepResult
from med42lib.train.weights import count_elements

_GIBIBYTE = 1 << 30


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """What has to be known beside a step to say what is recorded of it."""

    num_devices: int
    flops: ModelFlops | None
    peak: float | None
    """FLOP/s of one device."""

    @classmethod
    def of_training(cls, model: Any, config: TrainConfig) -> StepMetrics:
        """Look at the model and at this process's device."""
        parameters = list(model.parameters())
        trained = count_elements(p for p in parameters if p.requires_grad) if config.has_adapter else 0
        base = count_elements(parameters) - trained
        flops = model_flops(model.config.to_dict(), parameters=base, adapter_parameters=trained)
        return cls(distributed.get_world_size(), flops, peak_flops(gpu_name(), config.precision))

    def of_step(self, step: StepResult) -> dict[str, float]:
        """Give the numbers of a step by their names."""
        speed = step.num_tokens / step.seconds
        return {
            "loss": step.loss,
            "learning_rate": step.learning_rate,
            "grad_norm": step.grad_norm,
            **({} if step.loss_scale is None else {"loss_scale": step.loss_scale}),
            "tokens_per_second": speed,
            "tokens_per_second_per_device": speed / self.num_devices,
            **({} if self.flops is None or self.peak is None else {"mfu": self._mfu(step, self.flops, self.peak)}),
            "peak_memory_gib": step.peak_memory_bytes / _GIBIBYTE,
            "step_seconds": step.seconds,
            **{f"{part}_seconds": seconds for part, seconds in step.part_seconds.items()},
        }

    def _mfu(self, step: StepResult, flops: ModelFlops, peak: float) -> float:
        needed = flops.of_step(
            num_tokens=step.num_tokens, num_response_tokens=step.num_response_tokens, num_pairs=step.num_pairs
        )
        return needed / (step.seconds * self.num_devices * peak)


def gpu_name() -> str:
    """Name this process's GPU; empty if it has none."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else ""


def warn_of_float32(precision: Precision) -> None:
    """Say how much faster 16 bits would be on this GPU, which the MFU, a share of float32's own peak, does not show."""
    half, single = (peak_flops(gpu_name(), each) for each in ("bfloat16", "float32"))
    if precision == "float32" and half and single:
        log("train").warning(
            "trains in float32, in which %s is %.0f times slower than in 16 bits; set precision to bfloat16, on a V100 "
            "to float16",
            gpu_name(),
            half / single,
        )
