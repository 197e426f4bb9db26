"""What a table's note says of its intervals and tests: by which method each was computed.

A model that was trained once and one that was trained with several seeds have different ones, also in one table.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from med42lib.formats.written import percent_of
from med42lib.report.results.table import Group, Results

_SEEDS = "for other questions and other seeds"


def accuracy_intervals(results: Results, confidence: float, *, groups: Collection[Group] = ()) -> str:
    """Say whose intervals accuracies have, and the averages among `groups`, the table's lines."""
    once = [model.title for model in results.models if not model.has_seeds]
    seeded = [model.title for model in results.models if model.has_seeds]
    averages = any(group.average for group in groups)
    kinds = []
    if once:
        kinds.append("Wilson's" + ", of averages Korn and Graubard's" * averages + _of(once if seeded else []))
    if seeded:
        kinds.append(f"Student's, {_SEEDS}{_of(seeded)}")
    return f"In brackets: {percent_of(confidence)} interval, {'; '.join(kinds)}."


def difference_tests(results: Results, confidence: float) -> str:
    """Say whose intervals and tests differences have."""
    seeded = [pair for pair in results.comparisons if any(results.model(name).has_seeds for name in pair)]
    once = [pair for pair in results.comparisons if pair not in seeded]
    averages = any(group.average for group in results.groups)
    kinds = []
    if once:
        named = _of([results.difference_title(pair) for pair in once] if seeded else [])
        of_averages = ", of averages Zou, Huang and Zhang's" * averages
        kinds.append(f"Newcombe's for pairs (method 10){of_averages}, and p is McNemar's exact (mid-p){named}")
    if seeded:
        named = _of([results.difference_title(pair) for pair in seeded])
        kinds.append(f"Student's, {_SEEDS}, and so is p{named}")
    untested = " Averages have no test." * averages
    return f"Below the points: {percent_of(confidence)} interval of each number alone, {'; '.join(kinds)}.{untested}"


def _of(titles: Sequence[str]) -> str:
    return f" ({', '.join(titles)})" if titles else ""
