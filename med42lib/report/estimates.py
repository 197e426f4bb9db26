"""Intervals and tests for counts of right answers. Pure functions; every formula names its source.

The paired comparison of two models on the same n questions rests on four counts:

                        second right   second wrong
        first right         both        first_only
        first wrong      second_only     neither

    difference = (first_only - second_only) / n
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval; all three on the scale of proportions."""

    value: float
    low: float
    high: float

    def __neg__(self) -> Estimate:
        """The same quantity with its sign turned."""
        return Estimate(-self.value, -self.high, -self.low)

    @property
    def includes_zero(self) -> bool:
        """Say whether zero lies in the interval, ends included."""
        return self.low <= 0.0 <= self.high


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """How often both, one or none of two models answered the same question right."""

    both: int
    first_only: int
    second_only: int
    neither: int

    @property
    def n(self) -> int:
        """Count the questions."""
        return self.both + self.first_only + self.second_only + self.neither


def wilson(correct: int, n: int, confidence: float) -> Estimate:
    """Estimate a proportion with Wilson's score interval.

    Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209-212; method 3 of R. G. Newcombe, Stat. Med. 17
    (1998) 857-872. Without continuity correction.

    Raises:
        ValueError: If n is 0 or `correct` is not in [0, n].
    """
    if n < 1 or not 0 <= correct <= n:
        raise ValueError(f"{correct} right answers of {n}: expected 0 <= right <= n and n >= 1")
    z = _normal_quantile(confidence)
    p = correct / n
    scale = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    half_width = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / scale
    # At 0 and n the ends are exactly 0 and 1; rounding may miss them by 1e-17.
    low = 0.0 if correct == 0 else centre - half_width
    high = 1.0 if correct == n else centre + half_width
    return Estimate(p, low, high)


def paired_difference(counts: PairedCounts, confidence: float) -> Estimate:
    """Estimate the first model's accuracy minus the second's, on the same questions.

    Newcombe's hybrid score interval for paired proportions, method 10 of R. G. Newcombe, Stat. Med. 17 (1998)
    2635-2650: the two Wilson intervals, combined through the correlation of the answers. Unlike a Wald interval
    it keeps its width when the models never disagree (`first_only == second_only == 0`).

    Raises:
        ValueError: If there are no questions.
    """
    first = wilson(counts.both + counts.first_only, counts.n, confidence)
    second = wilson(counts.both + counts.second_only, counts.n, confidence)
    phi = _corrected_correlation(counts)
    difference = (counts.first_only - counts.second_only) / counts.n
    below = _combined(first.value - first.low, second.high - second.value, phi)
    above = _combined(first.high - first.value, second.value - second.low, phi)
    return Estimate(difference, difference - below, difference + above)


def _corrected_correlation(counts: PairedCounts) -> float:
    """Correlate the answers, with Newcombe's continuity correction; 0 if one margin is empty."""
    n = counts.n
    first_right, second_right = counts.both + counts.first_only, counts.both + counts.second_only
    margins = first_right * (n - first_right) * second_right * (n - second_right)
    if margins == 0:
        return 0.0
    covariance = float(counts.both * counts.neither - counts.first_only * counts.second_only)
    corrected = max(covariance - n / 2, 0.0) if covariance > 0 else covariance
    return corrected / sqrt(margins)


def _combined(first: float, second: float, phi: float) -> float:
    # Perfect correlation makes this the square of a difference, which rounding can push below 0.
    return sqrt(max(first * first - 2 * phi * first * second + second * second, 0.0))


def linear_combination(weights: Sequence[float], estimates: Sequence[Estimate]) -> Estimate:
    """Estimate a weighted sum of independent quantities ("square and add", MOVER).

    Source: G. Y. Zou, W. Huang, X. Zhang, Comput. Stat. Data Anal. 53 (2009) 1080-1085. With weights 1 and -1 and
    Wilson intervals this is Newcombe's method for independent proportions, with four terms his difference of
    differences (Stat. Med. 20 (2001) 2885-2893).

    Raises:
        ValueError: If there is nothing to combine or the two sequences differ in length.
    """
    if not estimates or len(weights) != len(estimates):
        raise ValueError(f"{len(weights)} weights for {len(estimates)} estimates; expected one each, at least one")
    value = below = above = 0.0
    for weight, estimate in zip(weights, estimates, strict=True):
        value += weight * estimate.value
        down, up = estimate.value - estimate.low, estimate.high - estimate.value
        if weight < 0:
            down, up = up, down
        below += (weight * down) ** 2
        above += (weight * up) ** 2
    return Estimate(value, value - sqrt(below), value + sqrt(above))


def mean(estimates: Sequence[Estimate]) -> Estimate:
    """Average independent quantities without weights, as the paper does for MMLU."""
    return linear_combination([1 / len(estimates)] * len(estimates), estimates)


def mcnemar_p_value(counts: PairedCounts) -> float:
    """Test, two-sided and exactly, whether two models are right equally often.

    Source: Q. McNemar, Psychometrika 12 (1947) 153-157, in its exact conditional form: of the questions that
    exactly one model answers right, the first model's share is binomial with p = 1/2. 1.0 if there are none.
    """
    from scipy.stats import binomtest

    disagreements = counts.first_only + counts.second_only
    if disagreements == 0:
        return 1.0
    return float(binomtest(counts.first_only, disagreements, 0.5).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for having made several tests; in the order given.

    Source: S. Holm, Scand. J. Stat. 6 (1979) 65-70. The smallest of m is multiplied by m, the next by m - 1, and
    so on; none may become smaller than one before it, nor larger than 1.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, position in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[position]))
        adjusted[position] = largest
    return adjusted


def _normal_quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)
