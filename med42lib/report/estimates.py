"""Intervals of shares, and what is claimed by them. Pure functions; every formula names its source.

The paired comparison of two models on the same n questions rests on four counts:

                        second right   second wrong
        first right         both        first_only
        first wrong      second_only     neither

    difference = (first_only - second_only) / n

All questions count as independent here; `dependence` says what is done where they are not.
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

    both: float
    first_only: float
    second_only: float
    neither: float

    @property
    def n(self) -> float:
        """Count the questions."""
        return self.both + self.first_only + self.second_only + self.neither

    def divided(self, by: float) -> PairedCounts:
        """Give the same shares of fewer questions."""
        return PairedCounts(self.both / by, self.first_only / by, self.second_only / by, self.neither / by)


def wilson(correct: float, n: float, confidence: float) -> Estimate:
    """Estimate a proportion with Wilson's score interval.

    Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209-212; method 3 of R. G. Newcombe, Stat. Med. 17
    (1998) 857-872. Without continuity correction. Where questions belong together both counts are divided by the
    design effect: E. L. Korn, B. I. Graubard, Surv. Methodol. 24 (1998) 193-201.

    Raises:
        ValueError: If n is 0 or `correct` is not in [0, n].
    """
    if n <= 0 or not 0 <= correct <= n:
        raise ValueError(f"{correct} right answers of {n}: expected 0 <= right <= n and n > 0")
    z = normal_quantile(confidence)
    p = correct / n
    scale = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    half_width = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / scale
    # At 0 and n the ends are exactly 0 and 1; rounding may miss them by 1e-17.
    low = 0.0 if correct == 0 else centre - half_width
    high = 1.0 if correct == n else centre + half_width
    return Estimate(p, low, high)


@dataclass(frozen=True, slots=True)
class Stratum:
    """A part of what is sampled: `right` of `n` drawn at random from its `size`."""

    right: float
    n: float
    size: float


def stratified_share(strata: Sequence[Stratum], confidence: float) -> Estimate:
    """Estimate the share of right ones among all, of which a sample was drawn in each stratum.

    Strata count by their size, and what was drawn whole is known without error: the finite population correction of
    W. G. Cochran, Sampling Techniques (3rd ed., 1977), section 5.4.

    Raises:
        ValueError: If there is no stratum, or as `wilson`.
    """
    total = sum(stratum.size for stratum in strata)
    return _weighted_share(
        [
            _Share(
                stratum.right,
                stratum.n,
                stratum.size / total,
                (stratum.size - stratum.n) / (stratum.size - 1) if stratum.size > 1 else 0.0,
            )
            for stratum in strata
        ],
        confidence,
    )


def share_of_others(strata: Sequence[Stratum], design_effect: float, confidence: float) -> Estimate:
    """Estimate the share of right ones among others in such strata, of which those sampled from are a draw themselves.

    So what was drawn whole is uncertain too, and counts are divided by the design effect, as in `wilson`.

    Raises:
        ValueError: As `stratified_share`.
    """
    total = sum(stratum.size for stratum in strata)
    shares = [_Share(s.right / design_effect, s.n / design_effect, s.size / total) for s in strata]
    return _weighted_share(shares, confidence)


@dataclass(frozen=True, slots=True)
class _Share:
    """A proportion, its weight in the sum, and the share of its variance that is there; 0 where all are known."""

    right: float
    n: float
    weight: float
    unknown: float = 1.0


def _weighted_share(shares: Sequence[_Share], confidence: float) -> Estimate:
    """Sum proportions by their weights.

    Wilson's interval of the sum for the number of questions that would vary as much, as Korn and Graubard (1998) do,
    found from proportions with one right and one wrong answer more, since those of 0 and 1 are less certain than they
    look. In few questions with extreme answers the average of Wilson's intervals covers 90 %, this one 95 to 97 %.
    """
    if not shares:
        raise ValueError("there is no proportion to average; expected one or more")
    value = min(sum(share.weight * share.right / share.n for share in shares), 1.0)
    shrunk = [(share.right + 1) / (share.n + 2) for share in shares]
    centre = sum(share.weight * p for share, p in zip(shares, shrunk, strict=True))
    variance = sum(s.weight**2 * s.unknown * p * (1 - p) / s.n for s, p in zip(shares, shrunk, strict=True))
    if variance == 0:
        return Estimate(value, value, value)
    num_alike = centre * (1 - centre) / variance
    around = wilson(value * num_alike, num_alike, confidence)
    return Estimate(value, around.low, around.high)


def paired_difference(counts: PairedCounts, confidence: float) -> Estimate:
    """Estimate the first model's accuracy minus the second's, on the same questions.

    Newcombe's hybrid score interval for paired proportions, method 10 of R. G. Newcombe, Stat. Med. 17 (1998)
    2635-2650: the two Wilson intervals, combined through the correlation of the answers. Unlike a Wald interval
    it keeps its width when the models never disagree (`first_only == second_only == 0`). Where questions belong
    together, the counts are to be divided by the design effect.

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
    """Average independent quantities without weights."""
    return linear_combination([1 / len(estimates)] * len(estimates), estimates)


def smallest_shown(n: float, disagreement: float, *, alpha: float, power: float = 0.8) -> float | None:
    """Give the smallest difference that a test at level `alpha` shows of n questions with probability `power`.

    None if there is no such difference: McNemar's mid-p is at least a half to the power of n.

    Source: R. J. Connor, Biometrics 43 (1987) 207-211, solved for the difference; `disagreement` is the share of
    questions that exactly one of the models answers right, at least the difference itself.
    """
    if 0.5**n > alpha:
        return None
    z_alpha, z_power = normal_quantile(1 - alpha), NormalDist().inv_cdf(power)
    difference = 0.0
    for _ in range(50):  # converges by halves
        share = max(disagreement, difference, 1 / n)
        difference = min(1.0, (z_alpha * sqrt(share) + z_power * sqrt(share - difference * difference)) / sqrt(n))
    return difference


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


def two_sided_p_value(z: float) -> float:
    """Give the probability of a standard normal value at least as far from 0 as `z`."""
    return 2 * NormalDist().cdf(-abs(z))


def normal_quantile(confidence: float) -> float:
    """Give the number of standard errors that an interval reaches to either side: 1.96 for 0.95."""
    return NormalDist().inv_cdf((1 + confidence) / 2)
