"""The training loop, the same on every process; DeepSpeed comes in as an `Engine`."""

from __future__ import annotations

import hashlib
import math
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from med42lib.core.errors import DivergedError
from med42lib.formats.packed import PackedDataset
from med42lib.train.batches import share
from med42lib.train.config import TrainConfig
from med42lib.train.engine import Engine
from med42lib.train.loss import ChunkBatch, make_batch, response_loss
from med42lib.train.schedule import Schedule
from med42lib.train.timing import Part, StepTimer


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is wanted after a step: that the state be saved, or that training stop."""

    save: bool
    stop: bool


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one optimiser step did, over all processes but where it says otherwise."""

    loss: float
    """Mean cross entropy per response token, in nats, before the update."""
    learning_rate: float
    grad_norm: float
    """Norm of the whole gradient, before clipping."""
    loss_scale: float | None
    """What float16 losses were multiplied by, so that small gradients do not vanish; None in other formats."""
    num_tokens: int
    num_response_tokens: int
    num_pairs: int
    """Pairs of tokens of one sample."""
    seconds: float
    part_seconds: Mapping[Part, float]
    """Of `seconds`, what each part took in this process."""
    peak_memory_bytes: int
    """Most memory in use in this process: on its GPU, during this step; without a GPU, on the host, so far."""
    wishes: Wishes


@dataclass(frozen=True, slots=True)
class _Update:
    """What is known of a step's update over all processes."""

    loss: float
    num_tokens: int
    num_response_tokens: int
    num_pairs: int
    wishes: Wishes


@dataclass(frozen=True, slots=True)
class Totals:
    """What all steps so far did; kept in a checkpoint, so that it counts those of a killed attempt too."""

    num_steps: int = 0
    num_tokens: int = 0
    num_response_tokens: int = 0
    first_loss: float = math.nan
    last_loss: float = math.nan
    seconds: float = 0.0

    def after(self, step: StepResult) -> Totals:
        """Add one step."""
        return Totals(
            self.num_steps + 1,
            self.num_tokens + step.num_tokens,
            self.num_response_tokens + step.num_response_tokens,
            self.first_loss if self.num_steps else step.loss,
            step.loss,
            self.seconds + step.seconds,
        )


def no_wishes() -> Wishes:
    """Want nothing but to train."""
    return Wishes(save=False, stop=False)


def train_steps(
    engine: Engine,
    data: PackedDataset,
    steps: Iterable[NDArray[np.int64]],
    schedule: Schedule,
    config: TrainConfig,
    *,
    first: int = 0,
    wishes: Callable[[], Wishes] = no_wishes,
) -> Iterator[StepResult]:
    """Train, yielding after every optimiser step.

    The loss is the mean over all response tokens of the step, wherever they fell: so the result does not depend,
    but for rounding, on the number of processes or on which chunks met in a forward pass.
    All that is drawn in a step depends on the seed, the step and the process: so training can begin at any step.

    Whoever takes a step's result looks whether it is one to go on from (`check_finite`).

    Args:
        engine: The model and its optimiser, as they are before step `first`.
        data: The chunks.
        steps: The chunks of each step, from step 0.
        schedule: The learning rate of each step.
        config: How to train.
        first: The step to begin at, counted from 0.
        wishes: Asked during each step what this process wants; a step's result says what any process does.
    """
    for number, step in islice(enumerate(steps), first, None):
        yield _train_step(engine, data, number, step, schedule.rate(number), config, wishes)


def _train_step(
    engine: Engine,
    data: PackedDataset,
    number: int,
    step: NDArray[np.int64],
    rate: float,
    config: TrainConfig,
    wishes: Callable[[], Wishes],
) -> StepResult:
    """Make the step of this number, counted from 0, on this process's share of its chunks."""
    started, timer = time.monotonic(), StepTimer(engine.device)
    _forget_peak_memory(engine.device)
    torch.manual_seed(draw_seed(config.seed, number, distributed.get_rank()))
    for group in engine.optimizer.param_groups:
        group["lr"] = rate
    batches = [make_batch(data, row.tolist(), engine.device) for row in _my_share(step, config)]
    timer.end("data")
    scale = float(engine.optimizer.loss_scale) if config.precision == "float16" else None
    update = _update(engine, batches, wishes, timer)
    norm = float(engine.get_global_grad_norm() or 0.0)
    return StepResult(
        loss=update.loss,
        learning_rate=rate,
        grad_norm=norm,
        loss_scale=scale,
        num_tokens=update.num_tokens,
        num_response_tokens=update.num_response_tokens,
        num_pairs=update.num_pairs,
        seconds=time.monotonic() - started,
        part_seconds=timer.seconds(),
        peak_memory_bytes=_peak_memory(engine.device),
        wishes=update.wishes,
    )


def check_finite(number: int, step: StepResult, config: TrainConfig) -> None:
    """Make sure that a step's loss and gradient are numbers, the same on every process.

    Args:
        number: Of the step, counted from 1.
        step: What it did.
        config: How it was trained.

    Raises:
        DivergedError: If they are not.
    """
    # With float16 an overflowing gradient is normal: the update is skipped and the loss scale lowered.
    if math.isfinite(step.loss) and (math.isfinite(step.grad_norm) or config.precision == "float16"):
        return
    raise DivergedError(
        f"training diverged at step {number}: loss {step.loss}, gradient norm {step.grad_norm}, learning rate "
        f"{step.learning_rate:.3g}. Lower train's learning_rate (now {config.learning_rate:g}) or lengthen "
        f"warmup_steps (now {config.warmup_steps}), then run again"
    )


def draw_seed(seed: int, step: int, process: int) -> int:
    """Give the seed of what one process draws in one step, such as dropout."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{step}/{process}".encode(), digest_size=7).digest())


def _my_share(step: NDArray[np.int64], config: TrainConfig) -> NDArray[np.int64]:
    """Give this process's chunks of a step, shape (forward passes, micro_batch_size)."""
    return share(
        step,
        process=distributed.get_rank(),
        num_processes=distributed.get_world_size(),
        micro_batch_size=config.micro_batch_size,
    )


def _update(engine: Engine, batches: list[ChunkBatch], wishes: Callable[[], Wishes], timer: StepTimer) -> _Update:
    """Make one optimiser step."""
    counts = torch.tensor([[batch.num_tokens, batch.num_response_tokens, batch.num_pairs] for batch in batches])
    num_tokens, num_responses, num_pairs = _sum_over_processes(counts.sum(dim=0).to(engine.device)).tolist()
    num_terms = max(num_responses, 1)
    # DeepSpeed averages gradients over processes; times their number makes that a sum.
    weight = distributed.get_world_size() / num_terms
    losses = []
    timer.end("wait")
    for batch in batches:
        loss = response_loss(engine, batch)
        timer.end("forward")
        engine.backward(loss * weight, scale_wrt_gas=False)
        timer.end("backward")
        engine.step()
        timer.end("optimizer")
        losses.append(loss.detach())
    mine = wishes()
    # One exchange for all three, so that agreeing costs no step anything.
    wanted = torch.tensor([mine.save, mine.stop], dtype=torch.float64, device=engine.device)
    sums = _sum_over_processes(torch.cat([torch.stack(losses).sum().double()[None], wanted]))
    loss, save, stop = sums.tolist()
    wishes_of_all = Wishes(save=save > 0, stop=stop > 0)
    return _Update(loss / num_terms, num_tokens, num_responses, num_pairs, wishes_of_all)


def _forget_peak_memory(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts KiB


def _sum_over_processes(tensor: Tensor) -> Tensor:
    distributed.all_reduce(tensor)
    return tensor
