"""Are answers better than guesses, and is confidence in them what it claims to be? Every formula names its source.

Shape key:
    N: questions
    B: bins of confidence
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

NUM_BINS = 10


def chance_p_value(right: int, chances_N: NDArray[np.float64], clusters_N: NDArray[np.int64]) -> float:
    """Give the probability that guessing answers at least so many questions right.

    Exact: the sum of trials of unequal chances has Poisson's binomial distribution, taken from its characteristic
    function as Y. Hong, Comput. Stat. Data Anal. 59 (2013) 41-51, does, here to 1e-12. A guesser who meets a question
    again gives the same answer again: one draw decides all questions of a cluster, each being right where the draw
    lies below its chance.

        chances 1/2 and 1/4 in two clusters: 0, 1, 2 right in 3, 4, 1 of 8; in one cluster: in 4, 2, 2 of 8

    Args:
        right: The right answers.
        chances_N: Each question's chance of being guessed, in [0, 1].
        clusters_N: Numbers from 0; equal ones belong together.
    """
    chances: dict[int, list[float]] = {}
    for cluster, chance in zip(clusters_N.tolist(), chances_N.tolist(), strict=True):
        chances.setdefault(cluster, []).append(chance)
    alike = Counter(tuple(sorted(together, reverse=True)) for together in chances.values())
    size = len(chances_N) + 1
    spectrum = np.ones(size // 2 + 1, dtype=complex)
    for at_least, count in alike.items():
        probability = -np.diff((1.0, *at_least, 0.0))  # of 0, 1, 2, ... right in such a cluster
        spectrum *= np.fft.rfft(probability, size) ** count
    tail = np.fft.irfft(spectrum, size)[right:].sum()
    return round(min(1.0, max(0.0, float(tail))), 12)


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """How far confidence and accuracy part, in [0, 1]; `by_luck` is what a calibrated model would show on average."""

    value: float
    by_luck: float


def calibration_error(confidence_N: NDArray[np.float64], right_N: NDArray[np.bool_]) -> CalibrationError:
    """Compare confidence in the given answers with the share of right ones, in ten bins of equal width.

    The expected calibration error of M. P. Naeini, G. F. Cooper, M. Hauskrecht, AAAI (2015) 2901-2907: the distance
    between mean confidence and accuracy in each bin, weighted by the bin's questions. It is never below 0, so few
    questions show some error by luck: the mean of a normal deviate's size, sqrt(2 / pi) standard deviations.

    Raises:
        ValueError: If there are no questions.
    """
    if not len(confidence_N):
        raise ValueError("there is no answer to compare with its confidence")
    bins_N = np.minimum((confidence_N * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    gaps_B = np.abs(np.bincount(bins_N, weights=confidence_N - right_N))
    variances_B = np.bincount(bins_N, weights=confidence_N * (1 - confidence_N))
    by_luck = sqrt(2 / np.pi) * np.sqrt(variances_B).sum()
    return CalibrationError(float(gaps_B.sum()) / len(right_N), float(by_luck) / len(right_N))
