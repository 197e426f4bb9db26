"""The answers at the top of the report, each a sentence made from numbers that claims no more than they show.

The test decides (`verdicts`): adjusted for all questions asked, it is what "Yes" rests on. Where the interval beside
it, which is of one number alone, says something else, the sentence says so and why.
"""

from __future__ import annotations

from dataclasses import dataclass

from med42lib.formats.models import BASE
from med42lib.formats.report import OVERALL
from med42lib.formats.written import MISSING, PERCENT, display_name, p_in_prose, percent, percent_of, points
from med42lib.report.estimates import Estimate
from med42lib.report.formatting import integer, interval_in_prose
from med42lib.report.provenance.models import Pair
from med42lib.report.results.leaks import LeakedGain
from med42lib.report.results.table import Results
from med42lib.report.results.verdicts import Verdict

LEAK_QUESTION = "Are gains larger on leaked questions?"


@dataclass(frozen=True, slots=True)
class Answer:
    """One question and its answer; `figure` is the number that the answer rests on, in `unit`.

    `interval` is empty where there is no number.
    """

    question: str
    verdict: str
    figure: str
    interval: str
    sentence: str
    unit: str = "points"


def make_answers(
    results: Results, *, close_match: str, confidence: float, equivalence_points: float = 0.0
) -> tuple[Answer, ...]:
    """Answer the report's questions over all benchmarks together.

    Args:
        results: The numbers.
        close_match: What leaked questions have.
        confidence: Of the intervals; one minus it is the chance of any false claim.
        equivalence_points: Percentage points within which two models count as equal; 0: they never do.
    """
    if not _is_tuned(results):
        return (_of_base(results, confidence, close_match),)
    wording = _Wording(results, confidence, equivalence_points, close_match)
    comparisons = [wording.compared(pair, verdict) for pair, verdict in results.verdicts.differences.items()]
    leaks = [wording.leaked(pair, verdict) for pair, verdict in results.verdicts.leaks.items()]
    return (*comparisons, *(leaks or [_no_contrast(results, close_match)]))


def remarks(
    results: Results,
    *,
    confidence: float,
    dropped: bool,
    dropped_by_words: bool = False,
    num_by_words: int = 0,
    num_of_sources: int = 0,
    in_taught_format: bool = False,
) -> tuple[str, ...]:
    """Say what the answers rest on, and what they cannot show.

    Args:
        results: The numbers.
        confidence: Of the intervals.
        dropped: Whether the examples that leaked questions match were dropped before training.
        dropped_by_words: Whether those that words alone find were too.
        num_by_words: How many of the clean questions words find in training.
        num_of_sources: How many of the questions of the answers are of benchmarks of which a source is another split.
        in_taught_format: Whether questions were asked in the prompt format that fine-tunes are taught.
    """
    by_words = [_found_by_words(num_by_words, dropped=dropped_by_words)] if num_by_words else []
    if not _is_tuned(results):
        return tuple(by_words)
    limits = [f"{_LIMITS_OF_LEAKS}{_DROPPED * dropped}"] if results.verdicts.leaks else []
    of_sources = [_of_sources(results, num_of_sources)] if num_of_sources else []
    taught = [_TAUGHT_FORMAT] if in_taught_format and results.gains else []
    return (f"{_rule(results, confidence)}. {_seeds(results)}", *taught, *of_sources, *by_words, *limits)


_TAUGHT_FORMAT = (
    "The base model was asked in the prompt format that fine-tunes are taught, and may never have seen it: part of a "
    "gain over it may be that format and no knowledge. Where letters are scored, a table says how probable they are as "
    "each model's answer at all."
)


def _of_sources(results: Results, number: int) -> str:
    num_asked = results.accuracies[OVERALL, BASE, results.main_subset].n
    return (
        f"Of the {_num_questions(num_asked)} {integer(number)} are of benchmarks of which another split is trained on: "
        "part of a gain may be the manner of these questions."
    )


def _found_by_words(number: int, *, dropped: bool) -> str:
    where = "examples dropped before training," if dropped else "training"
    return (
        f"Found in {where} by their words alone, all of them or 13 in a row: {_num_questions(number)} of those that "
        "count as not leaked, since the cosine decides. The table of thresholds has the accuracies without them too."
    )


def _rule(results: Results, confidence: float) -> str:
    """Say how an answer is decided."""
    verdicts = results.verdicts
    num_asked = len(verdicts.differences) + len(verdicts.leaks)
    rule = (
        f"Points are percentage points of accuracy, with the {percent_of(confidence)} interval of each number alone. "
        "The test decides an answer"
    )
    if num_asked > 1:
        wrong = f"{100 * (1 - confidence):.3g}{PERCENT}"
        rule += (
            f"; the {integer(num_asked)} questions are one family (Holm's method), so that where nothing differs any "
            f"claim at all is made in at most {wrong} of runs"
        )
    return rule


def _seeds(results: Results) -> str:
    """Say of which models the intervals hold for the method, and of which for one training alone."""
    tuned = [model for model in results.models if model.trainings]
    several = [f"{model.title} with {len(model.trainings)} seeds" for model in tuned if model.has_seeds]
    once = (
        "was trained once: the intervals say how far the choice of questions could move a number, not how far another "
        "random seed could."
    )
    if not several:
        return f"Each model {once}"
    text = f"Trained were {', '.join(several)}: intervals and tests take both questions and seeds for a draw of many"
    text += "; those of what leaked questions add take these very seeds." if results.verdicts.leaks else "."
    return text + f" Every other model {once}" * (len(several) < len(tuned))


_LIMITS_OF_LEAKS = (
    "Leaked questions are compared with other questions of the same benchmarks, and a larger gain on them is claimed "
    "only if it shows both in points and in the odds of which model is right where only one is. From these odds a "
    "question's difficulty drops out, if it moves every model's odds alike. Neither can show why: leaked questions may "
    "differ from the others in more than having leaked."
)


_DROPPED = (
    " Here it cannot be those examples at all: they were dropped before training, so that no fine-tune has seen them."
)


def _is_tuned(results: Results) -> bool:
    return any(model.trainings for model in results.models)


def _of_base(results: Results, confidence: float, close_match: str) -> Answer:
    """Say how accurate the base model is, where nothing was trained that could be compared with it."""
    subset = results.main_subset
    estimate = _accuracy(results, BASE, subset)
    counted = _num_questions(results.accuracies[OVERALL, BASE, subset].n)
    share = _with_interval(estimate, confidence)
    said = f"Of {counted}{_leaked(results, close_match)}, the base model answers {share} right"
    if subset == "clean":
        counted = _num_questions(results.accuracies[OVERALL, BASE, "all"].n)
        said += f", of all {counted} {_with_interval(_accuracy(results, BASE, 'all'), confidence)}"
    return Answer(
        question="How accurate is the base model?",
        verdict=f"{percent(estimate.value)}{PERCENT}",
        figure=percent(estimate.value),
        interval=_limits(estimate),
        sentence=f"{said}. This run trained no fine-tune.",
        unit="percent",
    )


def _with_interval(estimate: Estimate, confidence: float) -> str:
    """Write an accuracy for a sentence: "25.0 % (95 % interval 19.7 to 31.1)"."""
    return f"{percent(estimate.value)}{PERCENT} ({percent_of(confidence)} interval {_limits(estimate)})"


def _limits(estimate: Estimate) -> str:
    return f"{percent(estimate.low)} to {percent(estimate.high)}"


def _num_questions(n: int) -> str:
    return f"{integer(n)} {'question' if n == 1 else 'questions'}"


def question(results: Results, first: str, second: str) -> str:
    """Ask what a difference answers: "Did LoRA help?" of one to the base, else "Is LoRA r64 better than LoRA?"."""
    subjects = [results.model(name).subject for name in (first, second)]
    return f"Did {subjects[0]} help?" if second == BASE else f"Is {subjects[0]} better than {subjects[1]}?"


@dataclass(frozen=True, slots=True)
class _Wording:
    """The words that verdicts are given in."""

    results: Results
    confidence: float
    equivalence_points: float
    close_match: str

    def compared(self, pair: Pair, verdict: Verdict) -> Answer:
        """Say which of two models is right more often."""
        results, verdicts, subset = self.results, self.results.verdicts, self.results.main_subset
        difference = results.differences[OVERALL, *pair, subset]
        subjects = [results.model(name).subject for name in pair]
        shares = [_share(results, name, subset) for name in pair]
        asked = f"{_num_questions(difference.n)}{_leaked(results, self.close_match)}"
        nothing = _NOT_WITH_THESE_SEEDS if difference.spread else _TOO_FEW
        worth = difference.n / difference.design_effect
        independent = f" (they tell as much as {integer(worth)} independent ones)" if worth < difference.n - 0.5 else ""
        return Answer(
            question=question(results, *pair),
            verdict={1: "Yes", 0: self._unshown(verdict), -1: "No, worse", None: "Unknown"}[verdicts.claimed(pair)],
            figure=points(verdict.estimate.value),
            interval=interval_in_prose(verdict.estimate),
            sentence=(
                f"Of {asked}{independent}, {subjects[0]} answers {shares[0]} right and {subjects[1]} {shares[1]}: "
                f"{self._change(verdict.estimate)}. "
                f"{self._judged(verdict, _EXACT, _SMALLEST, nothing) if verdicts.answerable else _UNANSWERABLE}"
            ),
        )

    def leaked(self, pair: Pair, verdict: Verdict) -> Answer:
        """Say whether a gain over the base is larger on leaked questions than on others of the same benchmarks."""
        results = self.results
        gain = results.verdicts.leaked_gains[pair]
        subject = results.model(pair[0]).subject
        return Answer(
            question=f"Is the gain of {subject} larger on leaked questions?",
            verdict={1: "Yes", 0: "Not shown", -1: "No, smaller"}[verdict.direction],
            figure=points(verdict.estimate.value),
            interval=interval_in_prose(verdict.estimate),
            sentence=(
                f"On {_num_leaked(results, gain)} its gain over the base model is {points(gain.leaked)} points, on the "
                f"other questions of the same benchmarks, weighted alike, {points(gain.others)}: leaked questions add "
                f"{self._change(verdict.estimate)} to its gain over all{' of these' * bool(results.wholly_leaked)}. "
                f"{self._judged(verdict, _ODDS, _SMALLEST_ADDED, _NO_ADDITION)} {_conclusion(results, pair)}"
            ),
        )

    def _change(self, estimate: Estimate) -> str:
        """Write a difference with its interval: "+2.0 points (95 % interval −1.0 to +5.0)"."""
        interval = f"{percent_of(self.confidence)} interval {interval_in_prose(estimate)}"
        return f"{points(estimate.value)} points ({interval})"

    def _judged(self, verdict: Verdict, other_test: str, smallest: str, nothing: str) -> str:
        """Say what the test says, why the interval may say something else, and what could have been shown.

        `other_test` says how an interval can exclude zero though the test does not show a difference, `smallest` what
        it is that could have been shown, `nothing` that nothing could.
        """
        adjusted = f"adjusted for {integer(verdict.num_questions)} questions, " * (verdict.num_questions > 1)
        p_value = f"{adjusted}{p_in_prose(verdict.adjusted_p_value)}"
        excludes = not verdict.estimate.includes_zero
        if verdict.shown:
            reconciled = "" if excludes else " The interval is the less exact of the two where it just reaches zero."
            return f"Chance alone would hardly do that ({p_value}).{reconciled}{self._within_margin(verdict)}"
        reconciled = (_ONE_OF_MANY if verdict.p_value <= verdict.alpha else other_test) * excludes
        shows = nothing
        if verdict.smallest_shown is not None:
            shows = f"{smallest} in four of five runs is {percent(verdict.smallest_shown)} points."
        return f"Chance could explain it ({p_value}).{reconciled} {shows}{self._within_margin(verdict)}"

    def _is_within_margin(self, verdict: Verdict) -> bool:
        margin = self.equivalence_points / 100
        return -margin < verdict.estimate.low and verdict.estimate.high < margin

    def _within_margin(self, verdict: Verdict) -> str:
        margin = f"{self.equivalence_points:g} points, the margin that this report's settings state."
        return f" All of the interval lies within {margin}" * self._is_within_margin(verdict)

    def _unshown(self, verdict: Verdict) -> str:
        equal = f"No, equal within {self.equivalence_points:g} points"
        return equal if self._is_within_margin(verdict) else "Not shown"


_UNANSWERABLE = (
    "Whether a fine-tune knows more, or has learnt by heart what it was asked, cannot be told: no question is left "
    "that training had nothing like."
)
_SMALLEST = "The smallest difference that these questions would show"
_SMALLEST_ADDED = "The smallest addition that these questions would show, were points enough,"
_TOO_FEW = "So few questions cannot show any difference."
_NOT_WITH_THESE_SEEDS = "With these questions and seeds no possible difference would show in four of five runs."
_NO_ADDITION = "With these questions no possible addition would show in four of five runs."
_ONE_OF_MANY = " The interval excludes zero as it is of this number alone; of several, one may do that by chance."
_EXACT = " The interval, which is approximate, excludes zero; the exact test does not, and it decides."
_ODDS = (
    " That p value is of odds: where only one of the two is right, the odds that it is the fine-tune differ no more "
    "than chance explains. The interval is of points, and excludes zero. Leaked questions that are easier or harder "
    "for every model look like that."
)


def _no_contrast(results: Results, close_match: str) -> Answer:
    """Say why no gain on leaked questions can be compared with others."""
    num_all = results.accuracies[OVERALL, BASE, "all"].n
    if not results.accuracies[OVERALL, BASE, "contaminated"].n:
        nothing = f"None of the {integer(num_all)} scored questions has {close_match}."
        return Answer(LEAK_QUESTION, "None found", points(0.0), "", nothing)
    if not results.gains:
        return Answer(
            LEAK_QUESTION,
            "Not asked",
            MISSING,
            "",
            f"{_counted(results, close_match)} No model is compared with the base.",
        )
    return Answer(
        LEAK_QUESTION, "Unknown", MISSING, "", f"{_counted(results, close_match)} None is left to compare with."
    )


def _num_leaked(results: Results, gain: LeakedGain) -> str:
    """Say how many leaked questions a gain is of, and where the others are, which have none to be compared with."""
    num_all, num_leaked = (results.accuracies[OVERALL, BASE, subset].n for subset in ("all", "contaminated"))
    noun = "question" if num_leaked == 1 else "questions"
    if without := ", ".join(map(display_name, results.wholly_leaked)):
        of_all = f"{integer(gain.num_leaked)} of {integer(num_leaked)} leaked {noun}"
        return f"{of_all} (the others are in benchmarks in which every question leaked: {without})"
    return f"{integer(num_leaked)} leaked {noun} ({percent(num_leaked / num_all)}{PERCENT} of all)"


def _counted(results: Results, close_match: str) -> str:
    num_all, num_leaked = (results.accuracies[OVERALL, BASE, subset].n for subset in ("all", "contaminated"))
    share = f"{percent(num_leaked / num_all)}{PERCENT}"
    have = "has" if num_leaked == 1 else "have"
    of_all = f"{integer(num_leaked)} of {integer(num_all)} scored questions ({share})"
    return f"{of_all} {have} {close_match}."


def _leaked(results: Results, close_match: str) -> str:
    """Say of the questions that answers are about whether they leaked, as part of a sentence."""
    if results.main_subset == "clean":
        return f" without {close_match}"
    num_leaked = results.accuracies[OVERALL, BASE, "contaminated"].n
    each = "which has" if num_leaked == 1 else "all of which have"
    return f", {each} {close_match}" * bool(num_leaked)


def _share(results: Results, model: str, subset: str) -> str:
    return f"{percent(_accuracy(results, model, subset).value)}{PERCENT}"


def _accuracy(results: Results, model: str, subset: str) -> Estimate:
    estimate = results.accuracies[OVERALL, model, subset].estimate
    assert estimate is not None  # only asked of subsets that hold items
    return estimate


def _conclusion(results: Results, pair: Pair) -> str:
    """Say which answers that rest on this fine-tune's gain would be different if leaked questions counted."""
    differences, with_leaks = results.verdicts.differences, results.verdicts.with_leaks
    turned = [
        question(results, *other)
        for other, verdict in differences.items()
        if pair[0] in other and verdict.direction != with_leaks[other]
    ]
    if not turned:
        return f"If they counted too, no answer above about {results.model(pair[0]).subject} would be different."
    return f"If they counted too, the answer would be different to: {' '.join(turned)}"
