"""The loss on examples that a model was not trained on, and whether it rises: the sign that it learns by heart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

VALIDATION_LOSS = "validation_loss"
"""The metric: mean cross entropy per response token, in nats, after so many steps."""

SLACK = 0.01
"""Share of the lowest loss by which a plateau may wander."""

Curve = Sequence[tuple[int, float]]
"""(step, loss) in the order of steps."""


@dataclass(frozen=True, slots=True)
class Rise:
    """The lowest loss and the step it was measured after, and the newest, which is higher."""

    lowest_step: int
    lowest: float
    newest: float


def find_rise(curve: Curve) -> Rise | None:
    """Say whether the loss has risen: the last two values are both higher than one before them, by more than `SLACK`.

    One alone may be chance. 3.0, 2.0, 2.1 has not risen yet; 3.0, 2.0, 2.2, 2.1 has, from 2.0.
    """
    if not curve:
        return None
    step, lowest = min(curve, key=lambda point: point[1])
    *_, before, newest = (lowest, *(loss for _, loss in curve))
    return Rise(step, lowest, newest) if min(before, newest) > (1 + SLACK) * lowest else None
