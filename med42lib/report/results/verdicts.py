"""What the report claims: one family of questions, each with one test, adjusted for having asked them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from med42lib.formats.models import BASE
from med42lib.report.estimates import Estimate, holm
from med42lib.report.provenance.models import Pair
from med42lib.report.results.comparison import Difference, compare
from med42lib.report.results.leaks import LeakedGain, leaked_gain
from med42lib.report.results.scores import Answers


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a number is told apart from 0: it is if the adjusted p value is at most `alpha`.

    `num_questions` were asked together. `smallest_shown` is what the first of Holm's steps shows in four of five runs,
    None if nothing would be.
    """

    estimate: Estimate
    p_value: float
    adjusted_p_value: float
    alpha: float
    num_questions: int
    smallest_shown: float | None

    @property
    def shown(self) -> bool:
        """Say whether the number is claimed to differ from 0."""
        return self.adjusted_p_value <= self.alpha

    @property
    def direction(self) -> int:
        """Give the sign of what is claimed, 0 if nothing is."""
        return (1 if self.estimate.value > 0 else -1) * self.shown


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The verdicts on differences and on gains on leaked items, in one family; `subset` is what differences are of.

    `leaked_gains` are what the verdicts on leaks rest on, `with_leaks` the directions of differences on all items.
    No difference can be claimed where fine-tunes have seen the like of every question: then they are not `answerable`.
    """

    subset: str
    differences: dict[Pair, Verdict]
    leaks: dict[Pair, Verdict]
    leaked_gains: dict[Pair, LeakedGain]
    with_leaks: dict[Pair, int]
    answerable: bool

    def claimed(self, pair: Pair) -> int | None:
        """Give the sign of a difference that is claimed, 0 if none is; None if the question cannot be answered."""
        return self.differences[pair].direction if self.answerable else None


def judge(answers: Answers, comparisons: Sequence[Pair], confidence: float, *, dropped: bool = False) -> Verdicts:
    """Answer every question over all benchmarks together, on clean items unless none or all of them are.

    If none is, no difference can be claimed unless what they match was `dropped` before training. All questions are one
    family: Holm's method keeps the chance that any claim among them is false at 1 - confidence.
    """
    gains = {
        pair: gain
        for pair in comparisons
        if pair[1] == BASE and (gain := leaked_gain(answers, *pair, confidence=confidence))
    }
    subset = "clean" if 0 < answers.contaminated.sum() < len(answers.item_ids) else "all"
    differences, leaks = _judged(_compared(answers, comparisons, subset, confidence), gains, 1 - confidence)
    with_leaks, _ = _judged(_compared(answers, comparisons, "all", confidence), gains, 1 - confidence)
    directions = {pair: verdict.direction for pair, verdict in with_leaks.items()}
    answerable = dropped or not answers.contaminated.all()
    return Verdicts(subset, differences, leaks, gains, directions, answerable)


def _compared(answers: Answers, comparisons: Sequence[Pair], subset: str, confidence: float) -> dict[Pair, Difference]:
    selected_N = answers.selected(answers.benchmarks, subset)
    return {pair: compare(answers, selected_N, *pair, confidence=confidence) for pair in comparisons}


def _judged(
    differences: dict[Pair, Difference], gains: dict[Pair, LeakedGain], alpha: float
) -> tuple[dict[Pair, Verdict], dict[Pair, Verdict]]:
    tested: list[tuple[Estimate | None, float | None, Difference | LeakedGain]] = [
        *((found.estimate, found.p_value, found) for found in differences.values()),
        *((gain.added, gain.p_value, gain) for gain in gains.values()),
    ]
    adjusted = holm([p for _, p, _ in tested if p is not None])
    verdicts = [
        Verdict(estimate, p, adjusted_p, alpha, len(tested), found.smallest_shown(alpha / len(tested)))
        for (estimate, p, found), adjusted_p in zip(tested, adjusted, strict=True)
        if estimate is not None and p is not None
    ]
    return dict(zip(differences, verdicts, strict=False)), dict(zip(gains, verdicts[len(differences) :], strict=True))
