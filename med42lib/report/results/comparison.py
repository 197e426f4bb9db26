"""Two models on the same questions: the difference, its interval, its test, and what could have been shown.

Shape key:
    N: scored items
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from med42lib.report.dependence import Spread, design_effect, deviations, equal_weights, sign_flip_p_value, spread
from med42lib.report.estimates import Estimate, PairedCounts, mean, paired_difference, smallest_shown
from med42lib.report.results.scores import Answers


@dataclass(frozen=True, slots=True)
class Difference:
    """First model's accuracy minus the second's on the same items; `estimate` None where there are none.

    `p_value` is McNemar's exact one (mid-p), over clusters where items belong together; `adjusted_p_value` Holm's over
    all benchmarks and comparisons of one subset. Both are None for an average, the adjusted one for the pooled line
    too. `n / design_effect` is the number of independent items that would tell as much. Of a model that was trained
    several times the counts are those of an average training, and the test is Student's on the `spread`.
    """

    n: int
    estimate: Estimate | None
    counts: PairedCounts | None
    p_value: float | None
    adjusted_p_value: float | None = None
    design_effect: float = 1.0
    spread: Spread | None = None

    def smallest_shown(self, alpha: float) -> float | None:
        """Give the smallest difference that these items show at level `alpha` in four of five runs; None if none is."""
        if self.spread:
            return smallest if (smallest := self.spread.smallest_shown(alpha)) <= 1.0 else None
        assert self.counts is not None  # only asked where items are pooled
        disagreement = (self.counts.first_only + self.counts.second_only) / self.counts.n
        return smallest_shown(self.n / self.design_effect, disagreement, alpha=alpha)


def compare(
    answers: Answers, selected_N: NDArray[np.bool_], first: str, second: str, *, confidence: float
) -> Difference:
    """Compare two models on the selected items, pooled."""
    if not selected_N.any():
        return Difference(0, None, None, None)
    runs = [answers.runs(model)[:, selected_N] for model in (first, second)]
    first_N, second_N = (right_KN.mean(axis=0) for right_KN in runs)
    clusters_N = answers.clusters[selected_N]
    counts = _counts(first_N, second_N)
    differences_N = first_N - second_N
    effect = design_effect(differences_N - differences_N.mean(), clusters_N)
    if any(len(right_KN) > 1 for right_KN in runs):
        found = spread(clusters_N, *runs)
        value = float(differences_N.mean())
        estimate = found.estimate(value, confidence, lowest=-1.0)
        return Difference(len(differences_N), estimate, counts, found.p_value(value), None, effect, found)
    return Difference(
        n=len(differences_N),
        estimate=paired_difference(counts.divided(effect), confidence),
        counts=counts,
        p_value=sign_flip_p_value(np.bincount(clusters_N, weights=differences_N).astype(np.int64)),
        design_effect=effect,
    )


def compare_averages(
    answers: Answers, selected_N: NDArray[np.bool_], first: str, second: str, *, confidence: float
) -> Difference:
    """Compare two models' averages, in which the benchmarks of the selected items weigh equally; without a test.

    Clusters may reach from one benchmark into another, and a training's luck is the same in all: so both are looked at
    in the average itself.
    """
    runs = [answers.runs(model)[:, selected_N] for model in (first, second)]
    first_N, second_N = (right_KN.mean(axis=0) for right_KN in runs)
    differences_N = first_N - second_N
    clusters_N, parts_N = answers.clusters[selected_N], answers.parts(selected_N)
    weights_N = equal_weights(parts_N)
    effect = design_effect(weights_N * deviations(differences_N, parts_N), clusters_N)
    if any(len(right_KN) > 1 for right_KN in runs):
        found = spread(clusters_N, *runs, parts_N=parts_N)
        estimate = found.estimate(float(weights_N @ differences_N), confidence, lowest=-1.0)
        return Difference(len(differences_N), estimate, None, None, None, effect, found)
    masks = [parts_N == part for part in range(parts_N.max() + 1)]
    counts = [_counts(first_N[mask], second_N[mask]).divided(effect) for mask in masks]
    estimate = mean([paired_difference(of_part, confidence) for of_part in counts])
    return Difference(len(differences_N), estimate, None, None, None, effect)


def _counts(first_N: NDArray[np.float64], second_N: NDArray[np.float64]) -> PairedCounts:
    return PairedCounts(
        both=float(np.sum(first_N * second_N)),
        first_only=float(np.sum(first_N * (1 - second_N))),
        second_only=float(np.sum((1 - first_N) * second_N)),
        neither=float(np.sum((1 - first_N) * (1 - second_N))),
    )
