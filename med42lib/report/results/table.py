"""Accuracies and differences for every benchmark, model and subset, each with its n and interval."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from med42lib.formats.models import BASE
from med42lib.formats.report import IN_DISTRIBUTION, OUT_OF_DISTRIBUTION, OVERALL, POOLED, PREFIX_OF_AVERAGE, family
from med42lib.report.dependence import Spread, clustered_share, design_effect, equal_weights, spread
from med42lib.report.estimates import Estimate, holm, wilson
from med42lib.report.provenance.models import Model, Pair
from med42lib.report.results.comparison import Difference, compare, compare_averages
from med42lib.report.results.leaks import removal
from med42lib.report.results.scores import SUBSETS, Answers
from med42lib.report.results.verdicts import Verdicts, judge


@dataclass(frozen=True, slots=True)
class Group:
    """Items that share one line of a table: a benchmark, the average of MMLU or USMLE, some pooled, or everything.

    An average weighs its benchmarks equally (the paper's "MMLU (average)"); otherwise items are pooled.
    """

    key: str
    benchmarks: tuple[str, ...]
    average: bool = False

    @property
    def is_summary(self) -> bool:
        """Say whether it stands for several benchmarks."""
        return self.average or self.key in POOLED


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Share of right answers; `correct` is None for an average, `estimate` None where there are no items.

    `n / design_effect` is the number of independent items that would tell as much. A model that was trained several
    times has the mean of its `trainings`' accuracies, no count and a `spread`.
    """

    n: int
    correct: int | None
    estimate: Estimate | None
    design_effect: float = 1.0
    trainings: tuple[float, ...] = ()
    spread: Spread | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What removing leaked items changes, each benchmark by itself: clean minus all.

    `adjusted_p_value` is Holm's over all groups and models.
    """

    estimate: Estimate
    p_value: float
    adjusted_p_value: float = 1.0


@dataclass(frozen=True, slots=True)
class Results:
    """Every number of the comparison of `models`, the base first, in the pairs `comparisons`.

    Keys: `accuracies[group, model, subset]`, `differences[group, first, second, subset]`, `changes[group, model]` of
    an accuracy, `gain_changes[group, first, second]` of a difference; None where it cannot be computed. `verdicts` are
    what is claimed of all benchmarks together.
    """

    models: tuple[Model, ...]
    comparisons: tuple[Pair, ...]
    groups: tuple[Group, ...]
    accuracies: dict[tuple[str, str, str], Accuracy]
    differences: dict[tuple[str, str, str, str], Difference]
    changes: dict[tuple[str, str], Change | None]
    gain_changes: dict[tuple[str, str, str], Change | None]
    verdicts: Verdicts

    @property
    def main_subset(self) -> str:
        """Say which of `SUBSETS` answers the questions: clean items if there are others too, else all."""
        return self.verdicts.subset

    @property
    def titles(self) -> list[str]:
        """What the models are called in a table, in order."""
        return [model.title for model in self.models]

    @property
    def gains(self) -> tuple[Pair, ...]:
        """The pairs that compare with the base."""
        return tuple(pair for pair in self.comparisons if pair[1] == BASE)

    @property
    def wholly_leaked(self) -> tuple[str, ...]:
        """The benchmarks in which every scored question leaked, so that there are no others to compare with."""
        alone = [group.key for group in self.groups if not group.is_summary]
        return tuple(name for name in alone if not self.accuracies[name, BASE, "clean"].n)

    def difference_title(self, pair: Pair) -> str:
        """Name a difference in a table: "Full − Base"."""
        return " − ".join(self.model(name).title for name in pair)

    def model(self, name: str) -> Model:
        """Give the model of that name."""
        return next(model for model in self.models if model.name == name)


def analyse(
    answers: Answers,
    models: tuple[Model, ...],
    comparisons: tuple[Pair, ...],
    confidence: float,
    *,
    sources: Collection[str] = (),
    dropped: bool = False,
) -> Results:
    """Compute every accuracy, difference and change on removing contaminated items.

    `sources` are those trained on; `dropped` says whether the examples that leaked items match were left out of them.
    """
    names = [model.name for model in models]
    groups = make_groups(answers.benchmarks, sources)
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
        changes=_adjusted_changes(
            {(group.key, model): analysis.change(group, model) for group in groups for model in names}
        ),
        gain_changes={
            (group.key, first, second): analysis.gain_change(group, first, second)
            for group in groups
            for first, second in comparisons
        },
        verdicts=judge(answers, comparisons, confidence, dropped=dropped),
    )


def make_groups(benchmarks: tuple[str, ...], sources: Collection[str] = ()) -> tuple[Group, ...]:
    """List the lines of the tables: each benchmark, the averages of those that belong together, everything.

    An average follows the last of its benchmarks; one benchmark alone has none. Where some benchmarks are trained on,
    these stand apart from the others.
    """
    groups = [Group(name, (name,)) for name in benchmarks]
    for key, prefix in PREFIX_OF_AVERAGE.items():
        parts = tuple(name for name in benchmarks if name.startswith(prefix))
        if len(parts) > 1:
            groups.insert(groups.index(Group(parts[-1], parts[-1:])) + 1, Group(key, parts, average=True))
    inside = tuple(name for name in benchmarks if is_trained_on(name, sources))
    outside = tuple(name for name in benchmarks if name not in inside)
    if inside and outside:
        groups += [Group(IN_DISTRIBUTION, inside), Group(OUT_OF_DISTRIBUTION, outside)]
    return (*groups, Group(OVERALL, benchmarks))


def is_trained_on(benchmark: str, sources: Collection[str]) -> bool:
    """Say whether another split of a benchmark is among the sources; that of MMLU is one source for all topics."""
    return benchmark in sources or family(benchmark) in sources


def accuracy_of(answers: Answers, group: Group, model: str, subset: str, confidence: float) -> Accuracy:
    """Compute one accuracy."""
    return _Analysis(answers, confidence).accuracy(group, model, subset)


def overall_clean(answers: Answers, confidence: float) -> dict[str, Accuracy]:
    """Compute each model's accuracy on all clean items together."""
    everything = Group(OVERALL, answers.benchmarks)
    return {model: accuracy_of(answers, everything, model, "clean", confidence) for model in answers.models}


@dataclass(frozen=True, slots=True)
class _Analysis:
    answers: Answers
    confidence: float

    def accuracy(self, group: Group, model: str, subset: str) -> Accuracy:
        selected_N = self.answers.selected(group.benchmarks, subset)
        right_KN, clusters_N = self.answers.runs(model)[:, selected_N], self.answers.clusters[selected_N]
        if self._is_incomplete(group, subset):
            return Accuracy(right_KN.shape[1], None if group.average else 0, None)
        parts_N = self.answers.parts(selected_N) if group.average else np.zeros_like(clusters_N)
        if len(right_KN) > 1:
            return _of_trainings(right_KN, clusters_N, parts_N, self.confidence)
        if group.average:
            return _average(right_KN[0], clusters_N, parts_N, self.confidence)
        correct_N = right_KN[0]
        n, correct = len(correct_N), int(correct_N.sum())
        effect = design_effect(correct_N.astype(float) - correct / n, clusters_N)
        return Accuracy(n, correct, wilson(correct / effect, n / effect, self.confidence), effect)

    def difference(self, group: Group, first: str, second: str, subset: str) -> Difference:
        selected_N = self.answers.selected(group.benchmarks, subset)
        if self._is_incomplete(group, subset):
            return Difference(int(selected_N.sum()), None, None, None)
        comparing = compare_averages if group.average else compare
        return comparing(self.answers, selected_N, first, second, confidence=self.confidence)

    def _is_incomplete(self, group: Group, subset: str) -> bool:
        """Say whether there is no item, or of an average a part without any."""
        parts = [(name,) for name in group.benchmarks] if group.average else [group.benchmarks]
        return not all(self.answers.selected(part, subset).any() for part in parts)

    def change(self, group: Group, model: str) -> Change | None:
        return self._change(group, self.answers.right(model), largest=1.0)

    def gain_change(self, group: Group, first: str, second: str) -> Change | None:
        return self._change(group, self.answers.right(first) - self.answers.right(second), largest=2.0)

    def _change(self, group: Group, values_N: NDArray[np.float64], *, largest: float) -> Change | None:
        found = removal(self.answers, values_N, group.benchmarks, equally=group.average)
        if found is None:
            return None
        return Change(found.estimate(self.confidence, largest=largest), found.contrast.p_value)


def _of_trainings(
    right_KN: NDArray[np.bool_], clusters_N: NDArray[np.int64], parts_N: NDArray[np.int64], confidence: float
) -> Accuracy:
    trainings_K = right_KN @ equal_weights(parts_N)
    found = spread(clusters_N, right_KN, parts_N=parts_N)
    estimate = found.estimate(float(trainings_K.mean()), confidence, lowest=0.0)
    return Accuracy(right_KN.shape[1], None, estimate, trainings=tuple(trainings_K.tolist()), spread=found)


def _average(
    correct_N: NDArray[np.bool_], clusters_N: NDArray[np.int64], parts_N: NDArray[np.int64], confidence: float
) -> Accuracy:
    alike = np.ones(parts_N.max() + 1, dtype=np.int64)
    estimate, num_effective = clustered_share(correct_N, parts_N, alike, clusters_N, confidence)
    return Accuracy(len(correct_N), None, estimate, len(correct_N) / num_effective)


def _adjusted(
    groups: tuple[Group, ...], comparisons: tuple[Pair, ...], differences: dict[tuple[str, str, str, str], Difference]
) -> dict[tuple[str, str, str, str], Difference]:
    """Adjust the p values of all benchmarks and comparisons of a subset for having tested so many."""
    adjusted = dict(differences)
    benchmarks = [group.key for group in groups if not group.is_summary]
    for subset in SUBSETS:
        family = [(name, *pair, subset) for name in benchmarks for pair in comparisons]
        tested = [(key, p) for key in family if (p := differences[key].p_value) is not None]
        for (key, _), p_value in zip(tested, holm([p for _, p in tested]), strict=True):
            adjusted[key] = replace(differences[key], adjusted_p_value=p_value)
    return adjusted


def _adjusted_changes(changes: dict[tuple[str, str], Change | None]) -> dict[tuple[str, str], Change | None]:
    """Adjust the p values of all groups and models in which something leaked."""
    found = {key: change for key, change in changes.items() if change and change.estimate.low < change.estimate.high}
    p_values = holm([change.p_value for change in found.values()])
    return changes | {
        key: replace(change, adjusted_p_value=p) for (key, change), p in zip(found.items(), p_values, strict=True)
    }
