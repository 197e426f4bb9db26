"""The answers at the top of the report, each a sentence made from numbers that claims no more than they show."""

from __future__ import annotations

from dataclasses import dataclass

from med42lib.formats.models import BASE
from med42lib.report.estimates import Estimate
from med42lib.report.formatting import MISSING, PERCENT, integer, interval_in_prose, percent, percent_of, points
from med42lib.report.results.table import OVERALL, Results

LEAK_QUESTION = "Did leaked questions inflate the gains?"


@dataclass(frozen=True, slots=True)
class Answer:
    """One question and its answer; `figure` is the number that the answer rests on, in percentage points.

    `interval` is empty where there is no number.
    """

    question: str
    verdict: str
    figure: str
    interval: str
    sentence: str


@dataclass(frozen=True, slots=True)
class _Wording:
    """What sentences need besides the numbers: the confidence level, and which subset they speak of."""

    confidence: float
    subset: str

    def change(self, estimate: Estimate) -> str:
        """Write a difference with its interval: "+2.0 points (95 % interval −1.0 to +5.0)"."""
        interval = f"{percent_of(self.confidence)} interval {interval_in_prose(estimate)}"
        return f"{points(estimate.value)} points ({interval})"

    def num_questions(self, n: int) -> str:
        """Write how many questions: "205 questions without a close match in the training mixture"."""
        return f"{integer(n)} questions" + (" without a close match in the training mixture" * (self.subset == "clean"))


def make_answers(results: Results, *, confidence: float) -> tuple[Answer, ...]:
    """Answer the report's questions over all benchmarks together.

    The comparisons are made on clean questions, unless none or all of them are.
    """
    wording = _Wording(confidence, results.main_subset)
    comparisons = (_compare(results, first, second, wording) for first, second in results.comparisons)
    return (*comparisons, _leaks(results, wording))


def question(results: Results, first: str, second: str) -> str:
    """Ask what a difference answers: "Did LoRA help?" of one to the base, else "Is LoRA r64 better than LoRA?"."""
    subjects = [results.model(name).subject for name in (first, second)]
    return f"Did {subjects[0]} help?" if second == BASE else f"Is {subjects[0]} better than {subjects[1]}?"


def verdict_of(difference: Estimate) -> str:
    """Say what a difference shows: "Yes", "No, worse" or, if zero lies in its interval, "Not shown"."""
    if difference.includes_zero:
        return "Not shown"
    return "Yes" if difference.value > 0 else "No, worse"


def _compare(results: Results, first: str, second: str, wording: _Wording) -> Answer:
    difference = results.differences[OVERALL, first, second, wording.subset]
    estimate = _known(difference.estimate)
    shares = [_share(results, model, wording.subset) for model in (first, second)]
    subjects = [results.model(name).subject for name in (first, second)]
    judged = (
        "The interval includes zero, so chance could explain it."
        if estimate.includes_zero
        else "The interval excludes zero."
    )
    return Answer(
        question=question(results, first, second),
        verdict=verdict_of(estimate),
        figure=points(estimate.value),
        interval=interval_in_prose(estimate),
        sentence=(
            f"Of {wording.num_questions(difference.n)}, {subjects[0]} answers {shares[0]} right and "
            f"{subjects[1]} {shares[1]}: {wording.change(estimate)}. {judged}"
        ),
    )


def _share(results: Results, model: str, subset: str) -> str:
    return f"{percent(_known(results.accuracies[OVERALL, model, subset].estimate).value)}{PERCENT}"


def _leaks(results: Results, wording: _Wording) -> Answer:
    num_all = results.accuracies[OVERALL, BASE, "all"].n
    num_leaked = results.accuracies[OVERALL, BASE, "contaminated"].n
    if not num_leaked:
        nothing = f"None of the {integer(num_all)} scored questions has a close match in the training mixture."
        return Answer(LEAK_QUESTION, "None found", points(0.0), "", nothing)
    counted = (
        f"{integer(num_leaked)} of {integer(num_all)} scored questions ({percent(num_leaked / num_all)}{PERCENT}) have "
        "a close match in the training mixture."
    )
    if wording.subset == "all":
        return Answer(LEAK_QUESTION, "Unknown", MISSING, "", f"{counted} None is left to compare with.")
    if not results.gains:
        return Answer(LEAK_QUESTION, "Not asked", MISSING, "", f"{counted} No model is compared with the base.")
    changes = {model: _known(results.gain_changes[OVERALL, model, BASE]) for model, _ in results.gains}
    first = next(iter(changes.values()))
    sentences = "; ".join(_gain_change(results, model, change, wording) for model, change in changes.items())
    turned = _changed_verdicts(results)
    return Answer(
        question=LEAK_QUESTION,
        verdict=_leak_verdict(list(changes.values()), any_turned=bool(turned)),
        figure=points(first.value),
        interval=interval_in_prose(first),
        sentence=f"{counted} Without them the gain over the base model changes: {sentences}. {_conclusion(turned)}",
    )


def _leak_verdict(changes: list[Estimate], *, any_turned: bool) -> str:
    if any(change.high < 0 for change in changes):
        return "Yes, and an answer above depends on it" if any_turned else "Yes, but every answer above stands"
    return "No, they hid some" if any(change.low > 0 for change in changes) else "Not shown"


def _gain_change(results: Results, model: str, change: Estimate, wording: _Wording) -> str:
    before, after = (_known(results.differences[OVERALL, model, BASE, s].estimate).value for s in ("all", "clean"))
    return f"{results.model(model).subject}'s from {points(before)} to {points(after)}, by {wording.change(change)}"


def _changed_verdicts(results: Results) -> list[str]:
    """List the questions whose answer would be another one with the leaked questions."""
    return [
        question(results, first, second)
        for first, second in results.comparisons
        if _verdict(results, first, second, "all") != _verdict(results, first, second, "clean")
    ]


def _conclusion(turned: list[str]) -> str:
    if not turned:
        return "With them, no answer above would be different."
    return f"With them, the answer would be different to: {' '.join(turned)}"


def _verdict(results: Results, first: str, second: str, subset: str) -> str:
    return verdict_of(_known(results.differences[OVERALL, first, second, subset].estimate))


def _known(estimate: Estimate | None) -> Estimate:
    assert estimate is not None  # only asked of subsets that hold items
    return estimate
