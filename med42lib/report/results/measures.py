"""Scores beside accuracy: how far it is above chance, lm-eval's other ways of comparing options, calibration.

Shape key:
    N: scored items
    M: trainings of a model
    K: options of an item
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from med42lib.formats.records import BenchmarkItem, right_positions
from med42lib.formats.scores import Normalise, predicted
from med42lib.report.dependence import spread
from med42lib.report.estimates import Estimate, holm
from med42lib.report.guessing import CalibrationError, calibration_error, chance_p_value
from med42lib.report.results.baselines import Baseline
from med42lib.report.results.scores import Answers
from med42lib.report.results.table import Accuracy, Group, Results, accuracy_of


@dataclass(frozen=True, slots=True)
class AboveChance:
    """An accuracy on the scale where guessing is 0 and knowing all is 1.

    `p_value` is of guessing as well, for the worst training of several; None for an average. `adjusted_p_value` is
    Holm's over all groups and models. `above_constant` says whether the accuracy is above that of the best single
    answer, given to every question.
    """

    estimate: Estimate
    p_value: float | None
    adjusted_p_value: float | None
    above_constant: bool


@dataclass(frozen=True, slots=True)
class Calibration:
    """How the confidence in letters, which share it among themselves, fits what is right.

    `on_letters` is the mean probability of all letters together, which is small where a model would rather have gone on
    otherwise, and `most_given` the letter that is likeliest most often, with its share of the questions.
    `excess` is mean confidence minus accuracy. `brier` is the sum of squared errors over the letters, in [0, 2], as
    lm-eval's `brier_score`; a uniform guess of K letters has 1 - 1/K.
    """

    n: int
    error: CalibrationError
    excess: Estimate
    brier: Estimate
    on_letters: float
    most_given: tuple[str, float]


@dataclass(frozen=True, slots=True)
class Measures:
    """Scores beside accuracy on one of `SUBSETS`, by group and model.

    `normalised[group, model, normalise]` is of benchmarks whose texts were scored, `calibration` of those whose letters
    were.
    """

    subset: str
    above_chance: Mapping[tuple[str, str], AboveChance]
    normalised: Mapping[tuple[str, str, Normalise], Accuracy]
    calibration: Mapping[tuple[str, str], Calibration]


def measure(
    answers: Answers,
    items: Sequence[BenchmarkItem],
    results: Results,
    *,
    baselines: Mapping[str, Baseline],
    scoring: Mapping[str, str],
    confidence: float,
) -> Measures:
    """Compute every measure of every group and model on the results' main subset.

    Args:
        answers: The models' answers, with their log-likelihoods.
        items: The N items, in the answers' order.
        results: The groups and models, and their accuracies.
        baselines: What knowing nothing scores, by group, on the same subset; groups without one are left out.
        scoring: `letters`, `texts` or `generated`, by benchmark.
        confidence: Probability that an interval aims to cover the truth with.
    """
    by_letters, by_texts = (_groups_of(results, scoring, kind) for kind in ("letters", "texts"))
    subset = results.main_subset
    return Measures(
        subset=subset,
        above_chance=_adjusted(dict(_above_chance(answers, items, results, baselines))),
        normalised={
            (group.key, model.name, normalise): accuracy_of(compared, group, model.name, subset, confidence)
            for normalise in (get_args(Normalise) if by_texts else ())
            for compared in (_compared(answers, items, normalise),)
            for group in by_texts
            for model in results.models
        },
        calibration={
            (group.key, model.name): _calibration(answers, items, group, model.name, subset, confidence)
            for group in by_letters
            if not group.average
            for model in results.models
            if answers.selected(group.benchmarks, subset).any()
        },
    )


def _groups_of(results: Results, scoring: Mapping[str, str], kind: str) -> list[Group]:
    return [group for group in results.groups if all(scoring.get(name) == kind for name in group.benchmarks)]


def _above_chance(
    answers: Answers, items: Sequence[BenchmarkItem], results: Results, baselines: Mapping[str, Baseline]
) -> Iterator[tuple[tuple[str, str], AboveChance]]:
    chances_N = np.array([len(item.right) / len(item.options) if item.options else np.nan for item in items])
    for group in (group for group in results.groups if group.key in baselines):
        selected_N = answers.selected(group.benchmarks, results.main_subset)
        for model in results.models:
            accuracy = results.accuracies[group.key, model.name, results.main_subset].estimate
            if accuracy is None:
                continue
            baseline, p_value = baselines[group.key], None
            if not group.average:
                p_value = max(
                    chance_p_value(int(right_N.sum()), chances_N[selected_N], answers.clusters[selected_N])
                    for right_N in answers.runs(model.name)[:, selected_N]
                )
            estimate = Estimate(*(_above(share, baseline.chance) for share in _ends(accuracy)))
            above = AboveChance(estimate, p_value, None, accuracy.value > baseline.constant)
            yield (group.key, model.name), above


def _ends(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high


def _above(share: float, chance: float) -> float:
    return (share - chance) / (1 - chance)


def _adjusted(found: dict[tuple[str, str], AboveChance]) -> dict[tuple[str, str], AboveChance]:
    tested = [(key, above.p_value) for key, above in found.items() if above.p_value is not None]
    adjusted = holm([p_value for _, p_value in tested])
    return found | {
        key: replace(found[key], adjusted_p_value=p_value) for (key, _), p_value in zip(tested, adjusted, strict=True)
    }


def _compared(answers: Answers, items: Sequence[BenchmarkItem], normalise: Normalise) -> Answers:
    """Give the answers that the same log-likelihoods make, divided by something else; none where there are none."""
    correct = {
        training: np.array(
            [
                bool(numbers) and predicted(item.options, numbers, normalise) in item.right
                for item, numbers in zip(items, answers.loglikelihoods[training], strict=True)
            ]
        )
        for training in answers.correct
    }
    return replace(answers, correct=correct)


def _calibration(
    answers: Answers, items: Sequence[BenchmarkItem], group: Group, model: str, subset: str, confidence: float
) -> Calibration:
    positions = np.flatnonzero(answers.selected(group.benchmarks, subset)).tolist()
    trainings = answers.trainings.get(model, (model,))
    judged_MN3 = np.array(
        [[_judged(items[n], answers.loglikelihoods[training][n]) for n in positions] for training in trainings]
    )
    confidence_MN, right_MN, brier_MN = np.moveaxis(judged_MN3, -1, 0)
    errors = [calibration_error(sure_N, right_N > 0) for sure_N, right_N in zip(confidence_MN, right_MN, strict=True)]
    given = [answers.loglikelihoods[training][n] for training in trainings for n in positions]
    clusters_N = answers.clusters[positions]

    def mean(values_MN: NDArray[np.float64], lowest: float, highest: float) -> Estimate:
        found = spread(clusters_N, values_MN)
        return found.estimate(float(values_MN.mean()), confidence, lowest=lowest, highest=highest)

    return Calibration(
        n=len(positions),
        error=CalibrationError(
            value=sum(error.value for error in errors) / len(errors),
            by_luck=sum(error.by_luck for error in errors) / len(errors),
        ),
        excess=mean(confidence_MN - right_MN, -1.0, 1.0),
        brier=mean(brier_MN, 0.0, 2.0),
        on_letters=float(np.mean([np.exp(numbers).sum() for numbers in given])),
        most_given=_most_given(given),
    )


def _most_given(loglikelihoods: Sequence[Sequence[float]]) -> tuple[str, float]:
    likeliest = Counter(ascii_uppercase[int(np.argmax(numbers))] for numbers in loglikelihoods)
    letter, times = likeliest.most_common(1)[0]
    return letter, times / len(loglikelihoods)


def _judged(item: BenchmarkItem, loglikelihoods: Sequence[float]) -> tuple[float, float, float]:
    """Give the confidence in the likeliest option, whether it is right (1 or 0), and the squared error.

    Options that say the same are one answer: the right one, where it stands twice, has what both are given.
    """
    weights_K = np.exp(np.array(loglikelihoods) - max(loglikelihoods))
    shares_K = weights_K / weights_K.sum()
    chosen = int(shares_K.argmax())
    given = float(shares_K[list(right_positions(item.options, chosen))].sum())
    missed = 1 - float(shares_K[list(item.right)].sum())
    return given, float(chosen in item.right), missed**2 + float((np.delete(shares_K, item.right) ** 2).sum())
