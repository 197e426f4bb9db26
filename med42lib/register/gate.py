"""Whether a model may become the candidate: what its report says against what the settings ask for."""

from __future__ import annotations

from collections.abc import Mapping

from med42lib.formats.models import BASE
from med42lib.register.config import Gate

LEAKED_SHARE = "leaked_share"


def gain_points(metrics: Mapping[str, float], candidate: str) -> float | None:
    """Give a model's accuracy on all clean questions minus the base's, in percentage points; None if not reported."""
    accuracies = [metrics.get(f"accuracy/clean/overall/{model}") for model in (candidate, BASE)]
    own, base = accuracies
    return None if own is None or base is None else 100 * (own - base)


def objections(gate: Gate, metrics: Mapping[str, float], candidate: str) -> list[str]:
    """List what stands against a model; what the report does not tell stands against it too.

    Args:
        gate: What is asked for.
        metrics: Of the report.
        candidate: Name of the model.
    """
    found = []
    gain, leaked = gain_points(metrics, candidate), metrics.get(LEAKED_SHARE)
    if gate.min_gain_points is not None and (gain is None or gain < gate.min_gain_points):
        said = "is not reported" if gain is None else f"is {gain:+.1f} points"
        found.append(f"its gain over the base on clean questions {said}; asked for is {gate.min_gain_points:+.1f}")
    if gate.max_leaked_share is not None and (leaked is None or leaked > gate.max_leaked_share):
        said = "is not reported" if leaked is None else f"is {leaked:.1%}"
        found.append(f"the share of leaked questions {said}; allowed is {gate.max_leaked_share:.1%}")
    return found
