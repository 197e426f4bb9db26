"""Accuracies and differences for every benchmark, model and subset, each with its n and interval."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from med42lib.formats.models import BASE
from med42lib.report.estimates import (
    Estimate,
    PairedCounts,
    holm,
    linear_combination,
    mcnemar_p_value,
    mean,
    paired_difference,
    wilson,
)
from med42lib.report.provenance.models import Model, Pair
from med42lib.report.results.scores import SUBSETS, Answers

OVERALL = "overall"
MMLU_AVERAGE = "mmlu_average"
USMLE_AVERAGE = "usmle_average"
PREFIX_OF_AVERAGE = {MMLU_AVERAGE: "mmlu_", USMLE_AVERAGE: "usmle_"}
"""Benchmarks that the paper averages, by the beginning of their names."""


@dataclass(frozen=True, slots=True)
class Group:
    """Items that share one line of a table: a benchmark, the average of MMLU or USMLE, or everything.

    An average weighs its benchmarks equally (the paper's "MMLU (average)"); otherwise items are pooled.
    """

    key: str
    benchmarks: tuple[str, ...]
    average: bool = False

    @property
    def is_summary(self) -> bool:
        """Say whether it stands for several benchmarks."""
        return self.key == OVERALL or self.average


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Share of right answers; `correct` is None for an average, `estimate` None where there are no items."""

    n: int
    correct: int | None
    estimate: Estimate | None


@dataclass(frozen=True, slots=True)
class Difference:
    """First model's accuracy minus the second's on the same items; `estimate` None where there are none.

    `p_value` is McNemar's exact one, `adjusted_p_value` Holm's over the benchmarks of one comparison and
    subset; both are None for an average, the adjusted one for the pooled line too.
    """

    n: int
    estimate: Estimate | None
    counts: PairedCounts | None
    p_value: float | None
    adjusted_p_value: float | None = None


@dataclass(frozen=True, slots=True)
class Results:
    """Every number of the comparison of `models`, the base first, in the pairs `comparisons`.

    Keys: `accuracies[group, model, subset]`, `differences[group, first, second, subset]`, `changes[group, model]`
    (accuracy on clean items minus accuracy on all), `gain_changes[group, first, second]` (the same for a
    difference); None where it cannot be computed.
    """

    models: tuple[Model, ...]
    comparisons: tuple[Pair, ...]
    groups: tuple[Group, ...]
    accuracies: dict[tuple[str, str, str], Accuracy]
    differences: dict[tuple[str, str, str, str], Difference]
    changes: dict[tuple[str, str], Estimate | None]
    gain_changes: dict[tuple[str, str, str], Estimate | None]

    @property
    def main_subset(self) -> str:
        """Say which of `SUBSETS` answers the questions: clean items if there are others too, else all."""
        num_all, num_clean = (self.accuracies[OVERALL, BASE, subset].n for subset in ("all", "clean"))
        return "clean" if 0 < num_clean < num_all else "all"

    @property
    def titles(self) -> list[str]:
        """What the models are called in a table, in order."""
        return [model.title for model in self.models]

    @property
    def gains(self) -> tuple[Pair, ...]:
        """The pairs that compare with the base."""
        return tuple(pair for pair in self.comparisons if pair[1] == BASE)

    def model(self, name: str) -> Model:
        """Give the model of that name."""
        return next(model for model in self.models if model.name == name)


def analyse(answers: Answers, models: tuple[Model, ...], comparisons: tuple[Pair, ...], confidence: float) -> Results:
    """Compute every accuracy, difference and change on removing contaminated items."""
    names = [model.name for model in models]
    groups = make_groups(answers.benchmarks)
    analysis = _Analysis(answers, confidence)
    return Results(
        models=models,
        comparisons=comparisons,
        groups=groups,
        accuracies={
            (group.key, model, subset): analysis.accuracy(group, model, subset)
            for group in groups
            for model in names
            for subset in SUBSETS
        },
        differences=_adjusted(
            groups,
            comparisons,
            {
                (group.key, first, second, subset): analysis.difference(group, first, second, subset)
                for group in groups
                for first, second in comparisons
                for subset in SUBSETS
            },
        ),
        changes={(group.key, model): analysis.change(group, model) for group in groups for model in names},
        gain_changes={
            (group.key, first, second): analysis.gain_change(group, first, second)
            for group in groups
            for first, second in comparisons
        },
    )


def make_groups(benchmarks: tuple[str, ...]) -> tuple[Group, ...]:
    """List the lines of the tables: each benchmark, the averages of those that belong together, everything.

    An average follows the last of its benchmarks; one benchmark alone has none.
    """
    groups = [Group(name, (name,)) for name in benchmarks]
    for key, prefix in PREFIX_OF_AVERAGE.items():
        parts = tuple(name for name in benchmarks if name.startswith(prefix))
        if len(parts) > 1:
            groups.insert(groups.index(Group(parts[-1], parts[-1:])) + 1, Group(key, parts, average=True))
    return (*groups, Group(OVERALL, benchmarks))


def overall_clean(answers: Answers, confidence: float) -> dict[str, Accuracy]:
    """Compute each model's accuracy on all clean items together."""
    analysis = _Analysis(answers, confidence)
    return {model: analysis.accuracy(Group(OVERALL, answers.benchmarks), model, "clean") for model in answers.correct}


@dataclass(frozen=True, slots=True)
class _Analysis:
    answers: Answers
    confidence: float

    def accuracy(self, group: Group, model: str, subset: str) -> Accuracy:
        if group.average:
            parts = [self.accuracy(part, model, subset) for part in _parts(group)]
            return Accuracy(sum(part.n for part in parts), None, _mean([part.estimate for part in parts]))
        selected_N = self.answers.selected(group.benchmarks, subset)
        n = int(selected_N.sum())
        correct = int(self.answers.correct[model][selected_N].sum())
        return Accuracy(n, correct, wilson(correct, n, self.confidence) if n else None)

    def difference(self, group: Group, first: str, second: str, subset: str) -> Difference:
        if group.average:
            parts = [self.difference(part, first, second, subset) for part in _parts(group)]
            return Difference(sum(part.n for part in parts), _mean([part.estimate for part in parts]), None, None)
        selected_N = self.answers.selected(group.benchmarks, subset)
        if not selected_N.any():
            return Difference(0, None, None, None)
        first_N, second_N = (self.answers.correct[model][selected_N] for model in (first, second))
        counts = PairedCounts(
            both=int(np.sum(first_N & second_N)),
            first_only=int(np.sum(first_N & ~second_N)),
            second_only=int(np.sum(~first_N & second_N)),
            neither=int(np.sum(~first_N & ~second_N)),
        )
        estimate = paired_difference(counts, self.confidence)
        return Difference(counts.n, estimate, counts, mcnemar_p_value(counts))

    def change(self, group: Group, model: str) -> Estimate | None:
        if group.average:
            return _mean([self.change(part, model) for part in _parts(group)])
        clean, contaminated = (self.accuracy(group, model, subset) for subset in ("clean", "contaminated"))
        return _removal(clean.n, clean.estimate, contaminated.n, contaminated.estimate)

    def gain_change(self, group: Group, first: str, second: str) -> Estimate | None:
        if group.average:
            return _mean([self.gain_change(part, first, second) for part in _parts(group)])
        clean, contaminated = (self.difference(group, first, second, s) for s in ("clean", "contaminated"))
        return _removal(clean.n, clean.estimate, contaminated.n, contaminated.estimate)


def _parts(group: Group) -> list[Group]:
    return [Group(name, (name,)) for name in group.benchmarks]


def _mean(estimates: list[Estimate | None]) -> Estimate | None:
    known = [estimate for estimate in estimates if estimate is not None]
    return mean(known) if len(known) == len(estimates) else None


def _removal(
    num_clean: int, clean: Estimate | None, num_contaminated: int, contaminated: Estimate | None
) -> Estimate | None:
    """Estimate what removing contaminated items does: value on clean items minus value on all.

    With m of n items contaminated that is m/n times (clean - contaminated), two independent quantities.
    """
    if clean is None:
        return None
    if contaminated is None:
        return Estimate(0.0, 0.0, 0.0)
    share = num_contaminated / (num_clean + num_contaminated)
    return linear_combination([share, -share], [clean, contaminated])


def _adjusted(
    groups: tuple[Group, ...], comparisons: tuple[Pair, ...], differences: dict[tuple[str, str, str, str], Difference]
) -> dict[tuple[str, str, str, str], Difference]:
    adjusted = dict(differences)
    for first, second in comparisons:
        for subset in SUBSETS:
            family = [(g.key, first, second, subset) for g in groups if not g.is_summary]
            tested = [(key, p) for key in family if (p := differences[key].p_value) is not None]
            for (key, _), p_value in zip(tested, holm([p for _, p in tested]), strict=True):
                adjusted[key] = replace(differences[key], adjusted_p_value=p_value)
    return adjusted
