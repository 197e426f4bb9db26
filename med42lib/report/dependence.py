"""What is done about questions that belong together, and about models that were trained several times.

Questions of one vignette or passage tell less than as many that have nothing in common. Their number divided by the
design effect, `design_effect`, is the number of independent questions that would tell as much; the test here tosses one
coin for a cluster of them. Every formula names its source.

Shape key:
    N: questions
    G: clusters, of questions that belong together
    S: strata, of what a sample is drawn from; the parts of an average
    K: trainings of a model
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from med42lib.report.estimates import Estimate, Stratum, share_of_others


def sign_flip_p_value(sums_G: NDArray[np.int64]) -> float:
    """Test, two-sided, whether two models are right equally often, from (right by the first) - (right by the second).

    One sum for each question is McNemar's exact conditional test with the mid-p correction, which M. W. Fagerland,
    S. Lydersen, P. Laake, BMC Med. Res. Methodol. 13 (2013) 91, recommend: without it, the test claims too seldom.
    With one sum for each cluster, whose sign is the coin's, questions that belong together count as one draw: R. A.
    Fisher's randomisation test (The Design of Experiments (1935), section 21), the exact form of the test of Z. Yang,
    X. Sun, J. W. Hardin, Biom. J. 52 (2010) 638-652. 1.0 if the models never disagree.

        sums +2 -1 +1: the positive part is 3 of 4; by coins it is 0 1 2 3 4 with 1 2 2 2 1 eighths
    """
    from scipy.special import gammaln

    sizes, counts = np.unique(np.abs(sums_G[sums_G != 0]), return_counts=True)
    probability = np.ones(1)  # of each value of the positive part, from 0
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        heads = np.arange(count + 1)
        of_size = np.zeros(size * count + 1)
        of_size[::size] = np.exp(
            gammaln(count + 1) - gammaln(heads + 1) - gammaln(count - heads + 1) - count * np.log(2)
        )
        probability = np.convolve(probability, of_size)
    positive = int(sums_G[sums_G > 0].sum())
    smaller = min(positive, len(probability) - 1 - positive)
    return float(min(1.0, 2 * probability[:smaller].sum() + probability[smaller]))


def design_effect(contributions_N: NDArray[np.float64], clusters_N: NDArray[np.int64]) -> float:
    """Say how many times larger a sum's variance is because questions belong together; 1 at least.

    Source: L. Kish, Survey Sampling (1965), section 8.2; the variance between clusters is the sandwich of K.-Y. Liang,
    S. L. Zeger, Biometrika 73 (1986) 13-22, times G / (G - 1). An estimate below 1 is the luck of the draw. A single
    cluster does not show how clusters differ; it counts as one draw.

    Args:
        contributions_N: What each question adds to the sum, less its expectation.
        clusters_N: Numbers from 0; equal ones belong together.
    """
    alone = float(contributions_N @ contributions_N)
    num_clusters = len(np.unique(clusters_N))
    if alone == 0 or num_clusters == len(clusters_N):
        return 1.0
    if num_clusters == 1:
        return float(len(clusters_N))
    together = np.bincount(clusters_N, weights=contributions_N)
    return max(1.0, float(together @ together) / alone * num_clusters / (num_clusters - 1))


def equal_weights(parts_N: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weigh questions so that a sum over them is the mean of their parts' means, as the paper averages MMLU."""
    n_S = np.bincount(parts_N)
    weights_N: NDArray[np.float64] = (1 / len(n_S) / n_S)[parts_N]
    return weights_N


def deviations(values_N: NDArray[np.float64], parts_N: NDArray[np.int64]) -> NDArray[np.float64]:
    """Take each part's mean off its values."""
    means_S = np.bincount(parts_N, weights=values_N) / np.bincount(parts_N)
    deviations_N: NDArray[np.float64] = values_N - means_S[parts_N]
    return deviations_N


def clustered_share(
    right_N: NDArray[np.bool_],
    strata_N: NDArray[np.int64],
    sizes_S: NDArray[np.int64],
    clusters_N: NDArray[np.int64],
    confidence: float,
) -> tuple[Estimate, float]:
    """Estimate the share of right ones among others of which those that were sampled from are a draw themselves.

    Those of one cluster are alike, in whatever strata they lie. Strata of equal sizes count alike, as an average's
    parts do. `stratified_share` needs no clusters: its share is that of the very ones sampled from, of which each was
    as likely to be drawn.

    Args:
        right_N: What was found of N ones drawn.
        strata_N: Their strata, numbers from 0; those of one were drawn at random.
        sizes_S: How many there are in each of S strata.
        clusters_N: Numbers from 0; equal ones belong together.
        confidence: Of the interval.

    Returns:
        The share, and the number of independent ones that would tell as much as those drawn.
    """
    n_S = np.bincount(strata_N, minlength=len(sizes_S))
    right_S = np.bincount(strata_N, weights=right_N, minlength=len(sizes_S))
    # One right and one wrong more, as in the interval itself: where all are alike a cluster then counts as one.
    deviations_N = right_N - ((right_S + 1) / (n_S + 2))[strata_N]
    effect = design_effect((sizes_S / n_S)[strata_N] * deviations_N, clusters_N)
    strata = [Stratum(*counts) for counts in zip(right_S.tolist(), n_S.tolist(), sizes_S.tolist(), strict=True)]
    return share_of_others(strata, effect, confidence), len(right_N) / effect


@dataclass(frozen=True, slots=True)
class Spread:
    """Variance of a mean over questions and trainings, by what it comes from; `freedom` in Student's sense."""

    questions: float
    trainings: float
    freedom: float

    @property
    def standard_error(self) -> float:
        """Give the standard error for other questions and other trainings."""
        return sqrt(self.questions + self.trainings)

    def quantile(self, probability: float) -> float:
        """Give Student's quantile."""
        from scipy.special import stdtrit

        return float(stdtrit(self.freedom, probability))

    def estimate(self, value: float, confidence: float, *, lowest: float, highest: float = 1.0) -> Estimate:
        """Give a value, from `lowest` to `highest`, with its interval."""
        half_width = self.quantile((1 + confidence) / 2) * self.standard_error
        return Estimate(value, max(value - half_width, lowest), min(value + half_width, highest))

    def p_value(self, value: float) -> float:
        """Test, two-sided, whether a value is 0."""
        from scipy.special import stdtr

        return float(2 * stdtr(self.freedom, -abs(value) / self.standard_error)) if self.standard_error else 1.0

    def smallest_shown(self, alpha: float, power: float = 0.8) -> float:
        """Give the smallest value that a test at level `alpha` shows with that probability."""
        return (self.quantile(1 - alpha / 2) + self.quantile(power)) * self.standard_error


def spread(
    clusters_N: NDArray[np.int64],
    *sides: NDArray[np.bool_] | NDArray[np.float64],
    parts_N: NDArray[np.int64] | None = None,
) -> Spread:
    """Find how much one model's accuracy, or the first's minus the second's, varies with questions and trainings.

    Any score of each question will do in place of right and wrong. Questions count alike, or their parts do: numbers
    from 0, equal ones of one part.

    Each side is of shape (trainings, N); one with a single training is taken as it is, not as a draw. What trainings
    differ in by the chance of single questions is the questions' part already; so the trainings' is the variance
    between their accuracies less that, 0 at least, with the degrees of freedom of the whole: F. E. Satterthwaite, Biom.
    Bull. 2 (1946) 110-114. That errs towards claiming too little where trainings hardly differ.
    """
    values_N = sides[0].mean(axis=0) - (sides[1].mean(axis=0) if len(sides) > 1 else 0.0)
    parts_N = np.zeros(len(values_N), dtype=np.int64) if parts_N is None else parts_N
    weights_N, deviations_N, n_S = equal_weights(parts_N), deviations(values_N, parts_N), np.bincount(parts_N)
    squares_S = np.maximum(np.bincount(parts_N, weights=deviations_N**2), 1 / n_S)
    alone = float((squares_S / np.maximum(n_S - 1, 1) / n_S).sum()) / len(n_S) ** 2
    of_questions = alone * design_effect(weights_N * deviations_N, clusters_N)
    of_trainings = of_freedom = 0.0
    for right_KN in sides:
        if (num := len(right_KN)) > 1:
            between = float((right_KN @ weights_N).var(ddof=1))
            by_questions = float(right_KN.var(axis=0, ddof=1) @ weights_N**2)
            of_trainings += max(0.0, between - by_questions) / num
            of_freedom += (between / num) ** 2 / (num - 1)
    of_freedom += of_questions**2 / max(len(values_N) - len(n_S), 1)
    return Spread(of_questions, of_trainings, (of_questions + of_trainings) ** 2 / of_freedom)
