"""Whether a pod without GPUs holds the models that it scores. One that does not is killed, after all the training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from med42lib.core.errors import Problem
from med42lib.core.log import log
from med42lib.planning.base_model import BaseModel, certain_or_warned
from med42lib.planning.hardware import GIBIBYTE
from med42lib.spec import RunSpec
from med42lib.train.launchers.cluster import quantity
from med42lib.train.memory import BYTES_PER_NUMBER
from med42lib.train.shapes import count_parameters

_GIBIBYTES_BESIDE_WEIGHTS = 8
"""For libraries, and for what is computed; a guess, for advice alone."""


def scoring_problems(spec: RunSpec, base: BaseModel, memory: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    """Say whether the step that scores models may have less memory than their weights take.

    A base whose size is a guess is warned of, and so is a pod that may have so much, but does not ask for it.

    Args:
        spec: Says in which precision, and in which step: evaluate's, or that of its shards.
        base: As large as every fine-tune.
        memory: Request and limit of each step that scores models and asks for no GPU.
    """
    step = "answer_questions" if spec.evaluate.shards > 1 else "evaluate"
    if step not in memory or base.shapes is None:
        return
    weights = BYTES_PER_NUMBER[spec.evaluate.precision] * count_parameters(base.shapes)
    request, limit = memory[step]
    if weights > quantity(limit):
        problem = Problem("evaluate.precision", _too_large(spec, step, weights, f"may have {limit}"))
        yield from certain_or_warned(base.shapes, problem)
    elif weights > quantity(request):
        log("spec").warning("%s", _too_large(spec, step, weights, f"asks for {request}, and may be evicted"))


def _too_large(spec: RunSpec, step: str, weights: float, has: str) -> str:
    precision, gibibytes = spec.evaluate.precision, math.ceil(weights / GIBIBYTE)
    room = f"{gibibytes + _GIBIBYTES_BESIDE_WEIGHTS}Gi"
    smaller = "set bfloat16, or " if precision == "float32" else ""
    return (
        f"the step {step} loads {gibibytes:,} GiB of weights in {precision} into a pod that {has}; {smaller}compile "
        f"with --pods and `{step}: {{gpus: N}}`, which hold them together, or `{step}: {{memory: [{room}, {room}]}}`"
    )
