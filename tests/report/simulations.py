"""Made-up runs whose truth is known, put through the report's own functions: how often is something false claimed?

Each simulation is a function from a random generator to what one run claims; `SIMULATIONS` names them and says which
rates are right. Tests run a few hundred draws of most, `make bench-statistics` thousands of each.

Shape key:
    N: questions
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from math import sqrt

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from med42lib.formats.contamination import Label, Pair
from med42lib.formats.report import MMLU_AVERAGE
from med42lib.report.dependence import spread
from med42lib.report.estimates import Estimate, smallest_shown
from med42lib.report.guessing import chance_p_value
from med42lib.report.pages.result_tables import contamination_table, difference_table
from med42lib.report.pages.tables import Table
from med42lib.report.results.comparison import Difference, compare, compare_averages
from med42lib.report.results.contamination import Contamination, FoundBy
from med42lib.report.results.leaks import LeakedGain, leaked_gain
from med42lib.report.results.scores import Answers
from med42lib.report.results.table import Group, accuracy_of, analyse
from med42lib.report.results.verdicts import judge
from med42lib.report.review import Found, Pairs, Precision, Verdict
from tests.report.models import MODELS, PAIRS

CONFIDENCE = 0.95
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Simulation:
    """What is claimed of a made-up world, and between which rates that is right."""

    name: str
    claims: Callable[[Generator], bool]
    lowest: float
    highest: float
    draws: int = 250
    in_tests: bool = True

    def rate(self, draws: int, *, seed: int = 42) -> float:
        """Give the share of runs that claim it."""
        generator = np.random.default_rng(seed)
        return sum(bool(self.claims(generator)) for _ in range(draws)) / draws


def monte_carlo_error(rate: float, draws: int) -> float:
    """Give the standard error of a rate that was found in so many draws."""
    return sqrt(rate * (1 - rate) / draws)


def answers(
    generator: Generator,
    base: Floats,
    full: Floats,
    lora: Floats,
    *,
    benchmark: NDArray[np.str_] | None = None,
    leaked: NDArray[np.bool_] | None = None,
    group: NDArray[np.int64] | None = None,
) -> Answers:
    """Draw right and wrong answers with the probabilities given, shape (N,) each."""
    n = len(base)
    return Answers(
        item_ids=tuple(map(str, range(n))),
        benchmark=np.full(n, "medqa") if benchmark is None else benchmark,
        contaminated=np.zeros(n, dtype=np.bool_) if leaked is None else leaked,
        correct={name: generator.random(n) < p for name, p in (("base", base), ("full", full), ("lora", lora))},
        group=np.zeros(0, dtype=np.int64) if group is None else group,
    )


def logistic(values: Floats) -> Floats:
    return 1 / (1 + np.exp(-values))


# Three benchmarks of 700 questions; 60 of the 80 leaks are in HeadQA, as publishers' files have it.
BENCHMARK = np.repeat(["headqa", "medmcqa", "mmlu_anatomy"], [300, 300, 100])
LEAKED = np.isin(np.arange(700), [*range(60), *range(300, 316), *range(600, 604)])
EASE = np.random.default_rng(1).normal(0.0, 1.2, 700)
CHANCES = logistic(EASE)
NO_SHARES = Contamination(0.8, {}, {}, {}, (), (), (), FoundBy(0, 0, 0), ())


def null_run(generator: Generator) -> Answers:
    """Three models that are right equally often everywhere."""
    return answers(generator, CHANCES, CHANCES, CHANCES, benchmark=BENCHMARK, leaked=LEAKED)


def gain_of(given: Answers) -> LeakedGain:
    found = leaked_gain(given, "full", "base", confidence=CONFIDENCE)
    assert found is not None
    return found


def uneven_gains(generator: Generator) -> LeakedGain:
    """Fine-tuning gains 13 points in HeadQA and 3 elsewhere, on leaked questions and others alike."""
    base = 0.2 + 0.5 * CHANCES
    full = base + np.where(BENCHMARK == "headqa", 0.13, 0.03)
    return gain_of(answers(generator, base, full, base, benchmark=BENCHMARK, leaked=LEAKED))


def easier_leaks(generator: Generator) -> LeakedGain:
    """Leaked questions are easier for every model, by the same odds; so are fine-tuning's gains alike."""
    ease = EASE + 1.5 * LEAKED
    base, full = logistic(ease), logistic(ease + 0.7)
    return gain_of(answers(generator, base, full, base, benchmark=BENCHMARK, leaked=LEAKED))


def unsteady_leaks(generator: Generator) -> LeakedGain:
    """The models disagree twice as often on leaked questions as on others, but gain nothing on either."""
    even = np.where(LEAKED, 0.5, 0.1)
    return gain_of(answers(generator, even, even, even, benchmark=BENCHMARK, leaked=LEAKED))


def inflated(generator: Generator, *, by: float = 0.25) -> LeakedGain:
    """Fine-tuning gains 25 points more on leaked questions."""
    base = 0.2 + 0.5 * CHANCES
    full = base + 0.03 + by * LEAKED
    return gain_of(answers(generator, base, full, base, benchmark=BENCHMARK, leaked=LEAKED))


def smallest_addition_is_shown(generator: Generator) -> bool:
    """Leaked questions add what a run without any addition calls the smallest shown in four of five runs, in points."""
    smallest = inflated(generator, by=0.0).smallest_shown(1 - CONFIDENCE)
    return inflated(generator, by=smallest / float(LEAKED.mean())).p_points <= 1 - CONFIDENCE


def any_answer(generator: Generator) -> bool:
    """Say whether any of the page's five answers claims something where nothing differs."""
    verdicts = judge(null_run(generator), PAIRS, CONFIDENCE)
    return any(verdict.shown for verdict in (*verdicts.differences.values(), *verdicts.leaks.values()))


def any_bold(table: Table) -> bool:
    return any(cell.strong for row in table.rows for cell in row.cells)


def any_bold_difference(generator: Generator) -> bool:
    """Say whether a cell of the table of differences is bold where nothing differs."""
    results = analyse(null_run(generator), MODELS, PAIRS, CONFIDENCE)
    return any_bold(difference_table(results, confidence=CONFIDENCE, subset="clean"))


def any_bold_change(generator: Generator) -> bool:
    """Say whether a cell of the table of leaks is bold where leaked questions are like the others."""
    results = analyse(null_run(generator), MODELS, PAIRS, CONFIDENCE)
    return any_bold(contamination_table(results, NO_SHARES, close_match="", confidence=CONFIDENCE))


def difference_of(given: Answers, first: str = "full", second: str = "base") -> Difference:
    return compare(given, given.selected(given.benchmarks, "all"), first, second, confidence=CONFIDENCE)


def significant(difference: Difference) -> bool:
    return difference.p_value is not None and difference.p_value <= 1 - CONFIDENCE


def few_disagreements(generator: Generator) -> Difference:
    """100 questions of which the models disagree on about ten."""
    chances = np.where(np.arange(100) < 20, 0.5, 0.98)
    return difference_of(answers(generator, chances, chances, chances))


def interval_and_test_part(generator: Generator) -> bool:
    found = few_disagreements(generator)
    assert found.estimate is not None
    return found.estimate.includes_zero == significant(found)


def interval_excludes_the_truth(found: Difference, truth: float) -> bool:
    assert found.estimate is not None
    return not found.estimate.low <= truth <= found.estimate.high


def smallest_shown_is_shown(generator: Generator) -> bool:
    """Two models whose true difference is what the report calls the smallest that it shows in four of five runs."""
    num, disagreement = 400, 0.3
    true = smallest_shown(num, disagreement, alpha=1 - CONFIDENCE)
    assert true is not None  # so many questions show some
    draws = generator.random(num)
    first_only, second_only = draws < (disagreement + true) / 2, draws > 1 - (disagreement - true) / 2
    given = Answers(
        tuple(map(str, range(num))),
        np.full(num, "medqa"),
        np.zeros(num, dtype=np.bool_),
        {"full": first_only, "base": second_only},
    )
    return significant(difference_of(given))


def equal_at_the_margin(generator: Generator) -> bool:
    """Two models whose true difference is the margin: an interval inside the margin calls them equal falsely."""
    base = np.full(1500, 0.5)
    found = difference_of(answers(generator, base, base + 0.06, base))
    assert found.estimate is not None
    return found.estimate.low > -0.06 and found.estimate.high < 0.06


def shown_leak(gain: LeakedGain) -> bool:
    return gain.p_value <= 1 - CONFIDENCE


TOPICS = [f"mmlu_{number}" for number in range(6)]


def average_of(given: Answers) -> Estimate | None:
    group = Group(MMLU_AVERAGE, given.benchmarks, average=True)
    return accuracy_of(given, group, "full", "all", CONFIDENCE).estimate


def difference_of_averages(given: Answers) -> Difference:
    return compare_averages(given, given.selected(given.benchmarks, "all"), "full", "base", confidence=CONFIDENCE)


def average_misses(generator: Generator) -> bool:
    """Say whether the interval of an average of six topics, of 20 questions each, misses what it is of, 95 %."""
    chances = np.full(120, 0.95)
    return misses(average_of(answers(generator, chances, chances, chances, benchmark=np.repeat(TOPICS, 20))), 0.95)


def same_questions_twice(generator: Generator) -> Answers:
    """Two sets that are the same 325 questions: what is right in one is right in the other."""
    once = {name: generator.random(325) < 0.6 for name in ("full", "base")}
    return Answers(
        item_ids=tuple(map(str, range(650))),
        benchmark=np.repeat(["usmle_sample_exam", "usmle_self_assessment"], 325),
        contaminated=np.zeros(650, dtype=np.bool_),
        correct={name: np.tile(right, 2) for name, right in once.items()},
        group=np.tile(np.arange(325), 2),
    )


def seeded_topics(generator: Generator) -> Answers:
    """Two methods that are equal in expectation, on six topics; a seed's luck is that of all."""
    ease = generator.normal(0.0, 1.2, 1086)
    trainings = {name: tuple(f"{name}{number}" for number in range(3)) for name in ("full", "base")}
    luck = {training: generator.normal(0.0, 0.3) for names in trainings.values() for training in names}
    return Answers(
        item_ids=tuple(map(str, range(1086))),
        benchmark=np.repeat(TOPICS, 181),
        contaminated=np.zeros(1086, dtype=np.bool_),
        correct={training: generator.random(1086) < logistic(ease + here) for training, here in luck.items()},
        trainings=trainings,
    )


def seeded_run(generator: Generator, *, between: float, seeds: int = 3, num: int = 1273) -> Difference:
    """Two methods that are equal in expectation, on as many questions; `between` is the deviation between seeds."""
    ease = generator.normal(0.0, 1.2, num)
    correct = {}
    for name in ("full", "base"):
        for number in range(1, seeds + 1):
            chances = logistic(ease + generator.normal(0.0, 0.5, num)) + generator.normal(0.0, between)
            correct[f"{name}{number}"] = generator.random(num) < chances
    return difference_of(
        Answers(
            item_ids=tuple(map(str, range(num))),
            benchmark=np.full(num, "medqa"),
            contaminated=np.zeros(num, dtype=np.bool_),
            correct=correct,
            trainings={name: tuple(f"{name}{k}" for k in range(1, seeds + 1)) for name in ("full", "base")},
        )
    )


GROUPS = np.repeat(np.arange(100), 4)


def grouped_run(generator: Generator) -> Difference:
    """400 questions in groups of four, whose answers correlate within a group: 0.3 between any two, for each model."""
    chances = {name: np.repeat(generator.beta(7 / 6, 7 / 6, 100), 4) for name in ("base", "full", "lora")}
    return difference_of(answers(generator, **chances, group=GROUPS))


def grouped_leaks(generator: Generator) -> LeakedGain:
    """Leaked questions come four to a training example, and what one example teaches, it teaches all four."""
    group = np.where(LEAKED, np.cumsum(LEAKED) // 4, 1000 + np.arange(700))
    luck = generator.normal(0.0, 0.8, 2000)[group]
    return gain_of(
        answers(
            generator,
            logistic(EASE - 0.5 * luck),
            logistic(EASE + 0.5 * luck),
            CHANCES,
            benchmark=BENCHMARK,
            leaked=LEAKED,
            group=np.unique(group, return_inverse=True)[1],
        )
    )


def on_its_own(found: Difference) -> bool:
    """Say what the test would if questions were taken for independent: McNemar's, not exact."""
    counts = found.counts
    assert counts is not None
    return abs(counts.first_only - counts.second_only) > 1.96 * sqrt(counts.first_only + counts.second_only)


def guesser_is_above_chance(generator: Generator) -> bool:
    """Ask 300 questions of two to five options of a model that guesses; every fifth four are one question."""
    group = np.arange(300) // 4
    clusters = np.unique(np.where(group % 5 == 0, 1000 + group, np.arange(300)), return_inverse=True)[1]
    chances = 1 / generator.integers(2, 6, 300)
    right = generator.uniform(size=300)[clusters] < chances
    return chance_p_value(int(right.sum()), chances, clusters) <= 1 - CONFIDENCE


def calibrated_model_is_too_sure_or_not_sure_enough(generator: Generator) -> bool:
    sure = generator.uniform(0.25, 1.0, 200)
    excess = sure - (generator.uniform(size=200) < sure)
    found = spread(np.arange(200), excess[None]).estimate(float(excess.mean()), CONFIDENCE, lowest=-1.0)
    return not found.includes_zero


# Pairs of 60 questions, each with six examples that are like it in several ways.
OF_QUESTION = np.arange(360) // 6
KINDS = list(product((Label.SAME_ANSWER, Label.REWORDED), (0.97, 0.82)))
FOUND = Pairs(
    (
        Found.FLAGGED,
        Pair(f"exam/{OF_QUESTION[n]}", "exam", f"cards/{n}", "cards", cosine, "", "", label=label.value),
    )
    for n in range(360)
    for label, cosine in [KINDS[n * 7 % 10 % 4]]
)
ALL_FOUND = FOUND.draw(360, seed=0)
LEAK_CHANCES = {Label.SAME_ANSWER: 0.9, Label.REWORDED: 0.5}


def judged_sample(generator: Generator) -> tuple[Precision, float, float]:
    """Judge 200 of the pairs; give the precision, its truth among all of them, and that of other questions'.

    Half of the pairs are leaks or not as their question is, so that those of one question are alike.
    """
    chances = np.array([LEAK_CHANCES[Label(pair.label)] for pair in ALL_FOUND])
    of_question = generator.uniform(size=60)[[int(pair.item_id[5:]) for pair in ALL_FOUND]]
    alike = generator.uniform(size=360) < 0.7
    leaks = np.where(alike, of_question, generator.uniform(size=360)) < chances
    truth = {(pair.item_id, pair.example_id): bool(leak) for pair, leak in zip(ALL_FOUND, leaks, strict=True)}
    ids = [(pair.item_id, pair.example_id) for pair in FOUND.draw(200, seed=int(generator.integers(2**31)))]
    verdicts = {drawn: Verdict.LEAK if truth[drawn] else Verdict.NO_LEAK for drawn in ids}
    found = next(one for one in FOUND.judge(verdicts, CONFIDENCE) if one.title == "All flagged pairs")
    return found, float(leaks.mean()), float(chances.mean())


def misses(estimate: Estimate | None, truth: float) -> bool:
    assert estimate is not None
    return not estimate.low <= truth <= estimate.high


def precision_misses(generator: Generator) -> bool:
    found, here, _ = judged_sample(generator)
    return misses(found.share, here)


def precision_of_others_misses(generator: Generator) -> bool:
    found, _, elsewhere = judged_sample(generator)
    return misses(found.of_others, elsewhere)


def precision_here_misses_that_of_others(generator: Generator) -> bool:
    found, _, elsewhere = judged_sample(generator)
    return misses(found.share, elsewhere)


SIMULATIONS = (
    Simulation(
        "another gain on leaked questions, in points, where HeadQA gains 10 points more than the rest",
        lambda g: uneven_gains(g).p_points <= 1 - CONFIDENCE,
        0.03,
        0.06,
    ),
    Simulation(
        "the same in odds, where leaked questions are easier for every model",
        lambda g: easier_leaks(g).p_odds <= 1 - CONFIDENCE,
        0.03,
        0.06,
    ),
    Simulation(
        "the same in points, where models disagree twice as often on leaked questions",
        lambda g: unsteady_leaks(g).p_points <= 1 - CONFIDENCE,
        0.03,
        0.06,
    ),
    Simulation(
        "the same in points, where leaked questions come four to a training example",
        lambda g: grouped_leaks(g).p_points <= 1 - CONFIDENCE,
        0.03,
        0.06,
    ),
    Simulation(
        "the verdict (both), where HeadQA gains more", lambda g: shown_leak(uneven_gains(g)), 0.0, 0.06, in_tests=False
    ),
    Simulation(
        "the verdict (both), where leaked questions are easier", lambda g: shown_leak(easier_leaks(g)), 0.0, 0.06
    ),
    Simulation("the verdict (both), where leaks add 25 points", lambda g: shown_leak(inflated(g)), 0.8, 1.0),
    Simulation("any of the five answers, where nothing differs", any_answer, 0.0, 0.06, draws=120),
    Simulation(
        "a bold cell in a table of differences, where nothing differs", any_bold_difference, 0.0, 0.08, draws=40
    ),
    Simulation(
        "a bold cell in the table of leaks, where nothing differs", any_bold_change, 0.0, 0.06, draws=40, in_tests=False
    ),
    Simulation(
        "a difference, where models disagree on few of 100 questions",
        lambda g: significant(few_disagreements(g)),
        0.03,
        0.06,
    ),
    Simulation("interval and test say different things there", interval_and_test_part, 0.0, 0.05),
    Simulation("the difference that is called the smallest shown is shown", smallest_shown_is_shown, 0.77, 0.84),
    Simulation(
        "the addition of leaked questions that is called the smallest shown is shown, in points",
        smallest_addition_is_shown,
        0.77,
        0.84,
        in_tests=False,
    ),
    Simulation(
        "a difference, where four questions each belong together", lambda g: significant(grouped_run(g)), 0.03, 0.06
    ),
    Simulation(
        "the interval of such questions misses the truth",
        lambda g: interval_excludes_the_truth(grouped_run(g), 0.0),
        0.03,
        0.06,
    ),
    Simulation(
        "a difference there, if they were taken for independent",
        lambda g: on_its_own(grouped_run(g)),
        0.12,
        0.2,
        in_tests=False,
    ),
    Simulation(
        "the interval of an average of few questions that are nearly all right misses it", average_misses, 0.025, 0.06
    ),
    Simulation(
        "the interval of an average of two sets of the same questions misses it",
        lambda g: misses(average_of(same_questions_twice(g)), 0.6),
        0.03,
        0.06,
    ),
    Simulation(
        "that of the difference of two such averages, of models that are equal",
        lambda g: interval_excludes_the_truth(difference_of_averages(same_questions_twice(g)), 0.0),
        0.03,
        0.06,
    ),
    Simulation(
        "the interval of an average of six topics misses it, three seeds, six points between them",
        lambda g: misses(average_of(seeded_topics(g)), 0.5),
        0.03,
        0.09,
    ),
    Simulation(
        "that of the difference of two such averages, of methods that are equal",
        lambda g: interval_excludes_the_truth(difference_of_averages(seeded_topics(g)), 0.0),
        0.0,
        0.06,
    ),
    Simulation(
        "a difference of two methods that are equal, three seeds each, a point between seeds",
        lambda g: significant(seeded_run(g, between=0.01)),
        0.0,
        0.06,
    ),
    Simulation(
        "the same, two points between seeds",
        lambda g: significant(seeded_run(g, between=0.02)),
        0.02,
        0.06,
        in_tests=False,
    ),
    Simulation(
        "the same, if each was trained once and the fine-tunes were taken for their methods",
        lambda g: significant(seeded_run(g, between=0.02, seeds=1)),
        0.2,
        0.6,
        in_tests=False,
    ),
    Simulation(
        "the same of 9,787 questions, a point between seeds",
        lambda g: significant(seeded_run(g, between=0.01, num=9787)),
        0.02,
        0.06,
        in_tests=False,
    ),
    Simulation(
        "the same of 9,787 questions, a point between seeds, if each was trained once",
        lambda g: significant(seeded_run(g, between=0.01, seeds=1, num=9787)),
        0.3,
        0.6,
        in_tests=False,
    ),
    Simulation("equal, where the difference is the margin", equal_at_the_margin, 0.0, 0.035),
    Simulation("better than guessing, of a model that guesses", guesser_is_above_chance, 0.03, 0.06),
    Simulation(
        "too sure or not sure enough, of a calibrated model",
        calibrated_model_is_too_sure_or_not_sure_enough,
        0.03,
        0.06,
    ),
    Simulation(
        "the interval of a precision misses the share of leaks among the pairs, of which a question's are alike",
        precision_misses,
        0.03,
        0.06,
        draws=150,
        in_tests=False,
    ),
    Simulation(
        "the interval of a precision for other questions misses theirs, where a question's pairs are alike",
        precision_of_others_misses,
        0.03,
        0.06,
        draws=150,
    ),
    Simulation(
        "the same, if the interval of these pairs were taken for that of other questions",
        precision_here_misses_that_of_others,
        0.3,
        0.42,
        draws=150,
        in_tests=False,
    ),
)
