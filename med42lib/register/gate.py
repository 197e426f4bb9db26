"""Whether a model may become the candidate: what its run says against what the settings ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from med42lib.formats.models import BASE
from med42lib.formats.report import LEAKED_SHARE, OVERALL, accuracy_metric
from med42lib.register.config import Gate
from med42lib.register.results import Results
from med42lib.register.run import NOT_STATED, FinishedRun


def gain_points(metrics: Mapping[str, float], candidate: str) -> float | None:
    """Give a model's accuracy on all clean questions minus the base's, in percentage points; None if not reported."""
    accuracies = [metrics.get(accuracy_metric("clean", OVERALL, model)) for model in (candidate, BASE)]
    own, base = accuracies
    return None if own is None or base is None else round(100 * (own - base), 9)  # less is the rounding of floats


def objections(gate: Gate, run: FinishedRun) -> list[str]:
    """List what stands against a run's candidate; what is not known stands against it too."""
    return [*_of_figures(gate, run), *_of_licences(gate, run)]


def _of_figures(gate: Gate, run: FinishedRun) -> Iterator[str]:
    gain, leaked = gain_points(run.metrics, run.candidate), run.metrics.get(LEAKED_SHARE)
    if gate.min_gain_points is not None and (gain is None or gain < gate.min_gain_points):
        said = "is not reported" if gain is None else f"is {gain:+.4g} points"
        yield f"its gain over the base on clean questions {said}; asked for is {gate.min_gain_points:+.4g}"
    if gate.gain_shown and Results.of(run).direction != 1:
        yield "that it is better than the base is not shown by the report"
    if gate.max_leaked_share is not None and (leaked is None or leaked > gate.max_leaked_share):
        said = "is not reported" if leaked is None else f"is {100 * leaked:.4g}%"
        yield f"the share of leaked questions {said}; allowed is {100 * gate.max_leaked_share:.4g}%"


def _of_licences(gate: Gate, run: FinishedRun) -> Iterator[str]:
    if gate.allowed_licences is None:
        return
    whose: dict[str, list[str]] = {}
    for owner, licence in run.licences:
        if not gate.allows(licence):
            whose.setdefault(licence, []).append(owner)
    if whose:
        yield f"licences that register.gate.allowed_licences does not name: {_listed(whose)}"
    if not run.mixture:
        yield "the sources' licences are not known, as the data set is not there any more"


def _listed(whose: Mapping[str, Sequence[str]]) -> str:
    """Write them so that what is in quotes can be copied into the settings."""
    named = ((repr(licence) if licence else NOT_STATED, owners) for licence, owners in whose.items())
    return ", ".join(f"{licence} ({', '.join(owners)})" for licence, owners in named)
