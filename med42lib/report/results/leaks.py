"""What leaked questions do to an accuracy or a gain, and whether a gain is larger on them than on the others.

Leaked questions are compared with the others of the same benchmark, never across benchmarks: gains differ from one
benchmark to the next, and leaks are not spread evenly over them.

Shape key:
    N: scored items
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from med42lib.report.dependence import design_effect
from med42lib.report.estimates import Estimate, normal_quantile, two_sided_p_value
from med42lib.report.results.scores import Answers

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
_POWER_QUANTILE = normal_quantile(0.6)  # a test has power 0.8 where the effect is this far above its limit


@dataclass(frozen=True, slots=True)
class Contrast:
    """A weighted sum over items that is 0, but for chance, if leaked items are like the others of their benchmark."""

    value: float
    variance: float

    @property
    def p_value(self) -> float:
        """Test whether it is 0, two-sided; 1.0 where nothing varies."""
        return two_sided_p_value(self.value / sqrt(self.variance)) if self.variance > 0 else 1.0


@dataclass(frozen=True, slots=True)
class Removal:
    """How a mean over items changes when the leaked ones are removed, which are the share `share` of it.

    It is the mean over benchmarks of each one's own change, its clean items' mean minus that of all of them.
    """

    contrast: Contrast
    share: float

    def estimate(self, confidence: float, *, largest: float = 1.0) -> Estimate:
        """Give the change with the interval of its test, within what values of at most `largest` make possible."""
        change, bound = self.contrast.value, self.share * largest
        half_width = normal_quantile(confidence) * sqrt(self.contrast.variance)
        return Estimate(change, max(change - half_width, -bound), min(change + half_width, bound))


@dataclass(frozen=True, slots=True)
class LeakedGain:
    """A fine-tune's gain over the base on leaked items, beside that on other items of the same benchmarks.

    `num_leaked` are the items that `leaked` is of: those of benchmarks in which everything leaked have no others beside
    them. `others` weighs benchmarks as the leaked items do. `added` is what the leaked items add to the gain over all
    items of these benchmarks: their share times `leaked - others`, at most `largest`. `p_points` tests that.
    `p_odds` tests the odds that the fine-tune, and not the base, is the one that is right where only one is; these do
    not depend on how difficult an item is.
    """

    num_leaked: int
    leaked: float
    others: float
    added: Estimate
    largest: float
    standard_error: float
    p_points: float
    p_odds: float

    @property
    def p_value(self) -> float:
        """Test that the gain is another on leaked items in points and in odds alike."""
        return max(self.p_points, self.p_odds)

    def smallest_shown(self, alpha: float) -> float | None:
        """Give the smallest `added` that the test in points shows at level `alpha` in four of five runs, if any."""
        smallest = (normal_quantile(1 - alpha) + _POWER_QUANTILE) * self.standard_error
        return smallest if smallest <= self.largest else None


def removal(answers: Answers, values_N: Floats, benchmarks: Sequence[str], *, equally: bool = False) -> Removal | None:
    """Find how the mean of `values_N` changes when leaked items are removed.

    Benchmarks weigh as much as they have items, or `equally`. Those in which everything leaked are left out; None if
    that is all.
    """
    masks = [mask for name in benchmarks if (mask := answers.selected((name,), "all")).any()]
    masks = [mask for mask in masks if not answers.contaminated[mask].all()]
    if not masks:
        return None
    weights_N, share = np.zeros(len(values_N)), 0.0
    total = sum(int(mask.sum()) for mask in masks)
    for mask in masks:
        leaked = answers.contaminated[mask]
        n, num_leaked = len(leaked), int(leaked.sum())
        of_leaked = (1 / len(masks) if equally else n / total) * num_leaked / n
        share += of_leaked
        weights_N[mask] = np.where(leaked, -of_leaked / max(num_leaked, 1), of_leaked / (n - num_leaked))
    return Removal(_contrast(answers, values_N, weights_N, masks, alike=False), share)


def leaked_gain(answers: Answers, first: str, second: str, *, confidence: float) -> LeakedGain | None:
    """Compare the first model's gain over the second, the base, on leaked items with that on others.

    Of several trainings the mean gain counts; a lucky one is lucky on leaked items and others alike. None without
    either kind of items.
    """
    gains_KN = answers.runs(first) - answers.right(second)
    gains_N = gains_KN.mean(axis=0)
    found = removal(answers, gains_N, answers.benchmarks)
    if found is None or found.share == 0:
        return None
    with_both_N = np.isin(answers.benchmark, [b for b in answers.benchmarks if answers.selected((b,), "clean").any()])
    leaked_N = answers.contaminated & with_both_N
    leaked = float(gains_N[leaked_N].mean())
    return LeakedGain(
        num_leaked=int(leaked_N.sum()),
        leaked=leaked,
        others=leaked + found.contrast.value / found.share,
        added=-found.estimate(confidence, largest=2.0),
        largest=2.0 * found.share,
        standard_error=sqrt(found.contrast.variance),
        p_points=found.contrast.p_value,
        p_odds=_odds_contrast(_repeated(answers, len(gains_KN)), gains_KN.ravel()).p_value,
    )


def _repeated(answers: Answers, times: int) -> Answers:
    """Put the items of several trainings one after the other; an item's repeats belong together."""
    return Answers(
        item_ids=answers.item_ids * times,
        benchmark=np.tile(answers.benchmark, times),
        contaminated=np.tile(answers.contaminated, times),
        correct={},
        group=np.tile(answers.clusters, times),
    )


def _odds_contrast(answers: Answers, gains_N: Floats) -> Contrast:
    """Compare the fine-tune's share of disagreements on leaked items with that on others (Cochran, Mantel, Haenszel).

    If every item has a difficulty and every model an ability on the logit scale, that share depends on the abilities
    alone (G. Rasch, 1960; it is what conditional logistic regression rests on), so that leaks that are merely easier
    for everyone do not change it. Source of the test: N. Mantel, W. Haenszel, J. Natl. Cancer Inst. 22 (1959) 719-748,
    without continuity correction.
    """
    weights_N, masks = np.zeros(len(gains_N)), []
    for name in answers.benchmarks:
        mask = answers.selected((name,), "all") & (gains_N != 0)
        if mask.any():
            leaked = answers.contaminated[mask]
            weights_N[mask] = leaked - leaked.mean()
            masks.append(mask)
    return _contrast(answers, (gains_N > 0).astype(float), weights_N, masks, alike=True)


def _contrast(answers: Answers, values_N: Floats, weights_N: Floats, masks: Sequence[Mask], *, alike: bool) -> Contrast:
    """Sum values by weights that add to 0 in each benchmark; with the larger of two variances unless they are `alike`.

    One is that of shuffling which items of a benchmark leaked, times the design effect: right for few leaked items, and
    never less than if one item were unlike the rest. It is all that values need which vary alike if their means are
    equal, as zeros and ones do. The other lets leaked items vary more than clean ones, and clusters of them: the
    sandwich of Liang and Zeger (1986).
    """
    shuffled, deviations_N, residuals_N = 0.0, np.zeros(len(values_N)), np.zeros(len(values_N))
    for mask in masks:
        values, weights, leaked = values_N[mask], weights_N[mask], answers.contaminated[mask]
        deviations_N[mask] = deviations = values - values.mean()
        shuffled += max(float(deviations @ deviations), 1.0) / max(len(values) - 1, 1) * float(weights @ weights)
        residuals = deviations.copy()
        for side in (leaked, ~leaked):
            if (size := int(side.sum())) > 1:
                residuals[side] = (values[side] - values[side].mean()) * sqrt(size / (size - 1))
        residuals_N[mask] = residuals
    variance = shuffled * design_effect(weights_N * deviations_N, answers.clusters)
    if not alike:
        sums_G = np.bincount(answers.clusters, weights=weights_N * residuals_N)
        variance = max(variance, float(sums_G @ sums_G))
    return Contrast(float(weights_N @ values_N), variance)
