"""Two models on the same questions: the difference, its interval, its test, and what could have been shown.

Shape key:
    N: scored items
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from med42lib.report.estimates import (
    Estimate,
    PairedCounts,
    design_effect,
    paired_difference,
    sign_flip_p_value,
    smallest_shown,
)
from med42lib.report.results.scores import Answers


@dataclass(frozen=True, slots=True)
class Difference:
    """First model's accuracy minus the second's on the same items; `estimate` None where there are none.

    `p_value` is McNemar's exact one (mid-p), over clusters where items belong together; `adjusted_p_value` Holm's over
    all benchmarks and comparisons of one subset. Both are None for an average, the adjusted one for the pooled line
    too. `n / design_effect` is the number of independent items that would tell as much.
    """

    n: int
    estimate: Estimate | None
    counts: PairedCounts | None
    p_value: float | None
    adjusted_p_value: float | None = None
    design_effect: float = 1.0

    def smallest_shown(self, alpha: float) -> float:
        """Give the smallest difference that these items show at level `alpha` in four of five runs."""
        assert self.counts is not None  # only asked where items are pooled
        disagreement = (self.counts.first_only + self.counts.second_only) / self.counts.n
        return smallest_shown(self.n / self.design_effect, disagreement, alpha=alpha)


def compare(
    answers: Answers, selected_N: NDArray[np.bool_], first: str, second: str, *, confidence: float
) -> Difference:
    """Compare two models on the selected items, pooled."""
    if not selected_N.any():
        return Difference(0, None, None, None)
    first_N, second_N = (answers.correct[model][selected_N] for model in (first, second))
    clusters_N = answers.clusters[selected_N]
    counts = PairedCounts(
        both=int(np.sum(first_N & second_N)),
        first_only=int(np.sum(first_N & ~second_N)),
        second_only=int(np.sum(~first_N & second_N)),
        neither=int(np.sum(~first_N & ~second_N)),
    )
    differences_N = first_N.astype(np.int64) - second_N
    effect = design_effect(differences_N - differences_N.mean(), clusters_N)
    return Difference(
        n=len(differences_N),
        estimate=paired_difference(counts.divided(effect), confidence),
        counts=counts,
        p_value=sign_flip_p_value(np.bincount(clusters_N, weights=differences_N).astype(np.int64)),
        design_effect=effect,
    )
