import math
from collections.abc import Mapping, Sequence

import datasets
import numpy as np
import pytest
from lm_eval.api.task import ConfigurableTask

from med42lib.formats.models import BASE
from med42lib.formats.records import BenchmarkItem, Origin
from med42lib.formats.scores import predicted
from med42lib.report.provenance.models import Model
from med42lib.report.results.baselines import make_baselines
from med42lib.report.results.measures import Measures, measure
from med42lib.report.results.scores import Answers
from med42lib.report.results.table import analyse

WORDS = ("Zinc", "β-каротин", "Vitamin K₁", "a", "none of these at all")


def item(number: int, options: Sequence[str], gold: int, benchmark: str = "headqa") -> BenchmarkItem:
    return BenchmarkItem(f"{benchmark}/{number}", benchmark, "?", "", tuple(options), gold, Origin("", "f", 1))


def made_up(num: int, benchmark: str = "headqa", num_options: int = 4) -> list[BenchmarkItem]:
    draws = np.random.default_rng(num)
    return [
        item(n, draws.permutation(WORDS)[:num_options].tolist(), int(draws.integers(num_options)), benchmark)
        for n in range(num)
    ]


def guesses(items: Sequence[BenchmarkItem], seed: int = 1, sharpness: float = 4.0) -> list[tuple[float, ...]]:
    draws = np.random.default_rng(seed)
    return [tuple((-sharpness * draws.exponential(size=len(i.options))).tolist()) for i in items]


def measured(
    items: Sequence[BenchmarkItem],
    loglikelihoods: Mapping[str, Sequence[tuple[float, ...]]],
    scoring: Mapping[str, str],
    trainings: Mapping[str, tuple[str, ...]] | None = None,
) -> Measures:
    answers = Answers(
        item_ids=tuple(i.id for i in items),
        benchmark=np.array([i.benchmark for i in items]),
        contaminated=np.zeros(len(items), dtype=bool),
        correct={
            name: np.array([predicted(i.options, ll, "none") in i.right for i, ll in zip(items, lls, strict=True)])
            for name, lls in loglikelihoods.items()
        },
        trainings=trainings or {},
        loglikelihoods=loglikelihoods,
    )
    models = tuple(Model(name, name, n) for n, name in enumerate(answers.models))
    results = analyse(answers, models, (), 0.95)
    baselines = make_baselines(answers, {i.id: i for i in items}, results.groups, "all")
    return measure(answers, items, results, baselines=baselines, scoring=scoring, confidence=0.95)


def of_lm_eval(items: Sequence[BenchmarkItem], loglikelihoods: Sequence[tuple[float, ...]]) -> dict[str, float]:
    """The means that lm-eval's own code makes of the same log-likelihoods."""
    rows = [{"q": "?", "choices": list(i.options), "gold": i.gold} for i in items]
    names = ("acc", "acc_norm", "acc_bytes", "brier_score")
    metrics = [{"metric": name, "higher_is_better": True} for name in names]
    task = ConfigurableTask(
        config={
            "task": "ours",
            "custom_dataset": lambda: {"test": datasets.Dataset.from_list(rows)},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "q",
            "doc_to_choice": "choices",
            "doc_to_target": "gold",
            "metric_list": [
                {**m, "aggregation": "brier_score" if m["metric"] == "brier_score" else "mean"} for m in metrics
            ],
        }
    )
    found = [
        task.process_results(row, [(ll, False) for ll in lls]) for row, lls in zip(rows, loglikelihoods, strict=True)
    ]
    aggregate = task.aggregation()
    return {name: float(aggregate[name]([one[name] for one in found])) for name in names}


def test_accuracies_by_characters_and_bytes_are_lm_evals() -> None:
    items = made_up(500)
    loglikelihoods = guesses(items)
    found = measured(items, {BASE: loglikelihoods}, {"headqa": "texts"}).normalised
    theirs = of_lm_eval(items, loglikelihoods)
    for normalise, name in (("none", "acc"), ("characters", "acc_norm"), ("bytes", "acc_bytes")):
        accuracy = found["headqa", BASE, normalise]  # type: ignore[index]
        assert accuracy.estimate is not None
        assert accuracy.estimate.value == pytest.approx(theirs[name])
        assert accuracy.estimate.low < theirs[name] < accuracy.estimate.high
    assert len({theirs[name] for name in ("acc", "acc_norm", "acc_bytes")}) == 3


def test_the_brier_score_of_letters_is_lm_evals() -> None:
    items = made_up(200, "medqa")
    loglikelihoods = guesses(items)
    found = measured(items, {BASE: loglikelihoods}, {"medqa": "letters"}).calibration["medqa", BASE].brier
    assert found.value == pytest.approx(of_lm_eval(items, loglikelihoods)["brier_score"])
    assert found.low < found.value < found.high


def test_letters_have_a_calibration_and_texts_the_other_accuracies() -> None:
    items = [*made_up(20, "medqa"), *made_up(30, "headqa")]
    found = measured(items, {BASE: guesses(items)}, {"medqa": "letters", "headqa": "texts"})
    assert {group for group, _ in found.calibration} == {"medqa"}
    assert {group for group, *_ in found.normalised} == {"headqa"}
    assert {group for group, _ in found.above_chance} == {"medqa", "headqa", "overall"}


def test_knowing_a_share_and_guessing_the_rest_is_that_share_above_chance() -> None:
    items = [*made_up(40, num_options=2), *made_up(40, num_options=4, benchmark="headqa_more")]
    items = [item(n, i.options, i.gold) for n, i in enumerate(items)]
    # Half are known; of the others as many are right as guessing gets: 10 of 20 with two options, 5 of 20 with four.
    known = {*range(20), *range(20, 30), *range(40, 60), *range(60, 65)}
    loglikelihoods = [
        tuple(0.0 if (n in known) == (k == i.gold) else -1.0 for k in range(len(i.options)))
        for n, i in enumerate(items)
    ]
    found = measured(items, {BASE: loglikelihoods}, {"headqa": "texts"}).above_chance["headqa", BASE]
    assert found.estimate.value == pytest.approx(0.5)


def test_a_model_that_guesses_is_not_above_chance_and_holm_counts_every_cell() -> None:
    items = made_up(400)
    known = [tuple(float(k == i.gold) for k in range(4)) for i in items]
    found = measured(items, {BASE: guesses(items), "full": known}, {"headqa": "texts"}).above_chance
    guessed, knows = found["headqa", BASE], found["headqa", "full"]
    assert guessed.p_value is not None
    assert guessed.adjusted_p_value is not None
    assert guessed.p_value > 0.05
    assert guessed.adjusted_p_value == min(1.0, 2 * guessed.p_value)  # the last two of four cells
    assert (knows.p_value, knows.estimate.value) == (0.0, 1.0)


def test_the_worst_of_several_trainings_must_be_above_chance() -> None:
    items = made_up(100)
    known = [tuple(float(k == i.gold) for k in range(4)) for i in items]
    both = {"lora": ("lora", "lora_seed2")}
    found = measured(items, {"lora": known, "lora_seed2": guesses(items)}, {"headqa": "texts"}, both).above_chance
    assert (p_value := found["headqa", "lora"].p_value) is not None
    assert p_value > 0.05


def test_above_guessing_is_told_from_above_the_most_frequent_answer() -> None:
    items = [item(n, ("yes", "no", "maybe"), int(n >= 55), "pubmedqa") for n in range(100)]
    always = [(0.0, -1.0, -1.0)] * 100
    found = measured(items, {BASE: always}, {"pubmedqa": "texts"}).above_chance["pubmedqa", BASE]
    assert (p_value := found.p_value) is not None
    assert p_value < 0.001
    assert not found.above_constant


def test_options_that_say_the_same_share_one_confidence() -> None:
    twice = item(1, ("Zinc", "Folate", "Zinc."), 2, "medmcqa")
    found = measured([twice], {BASE: [(0.0, 0.0, 0.0)]}, {"medmcqa": "letters"}).calibration["medmcqa", BASE]
    assert found.excess.value == pytest.approx(2 / 3 - 1)
    assert found.brier.value == pytest.approx((1 / 3) ** 2 + (1 / 3) ** 2)
    assert found.error.value == pytest.approx(1 / 3)


def test_a_model_that_is_too_sure_has_an_excess_above_zero() -> None:
    items = made_up(300, "medqa")
    sure = [tuple(10 * number for number in lls) for lls in guesses(items)]
    found = measured(items, {BASE: sure}, {"medqa": "letters"}).calibration["medqa", BASE]
    assert found.excess.low > 0.5
    assert found.error.value == pytest.approx(found.excess.value, abs=0.02)
    assert found.error.value > 5 * found.error.by_luck


def test_how_probable_letters_are_at_all_and_which_is_given_most_shows_who_does_not_know_the_format() -> None:
    items = made_up(100, "medqa")
    strange = [tuple(math.log(share) for share in (0.05, 0.01, 0.01, 0.01))] * 100
    taught = [tuple(math.log(0.9 if k == i.gold else 0.02) for k in range(4)) for i in items]
    found = measured(items, {BASE: strange, "full": taught}, {"medqa": "letters"}).calibration
    assert found["medqa", BASE].on_letters == pytest.approx(0.08)
    assert found["medqa", BASE].most_given == ("A", 1.0)
    assert found["medqa", "full"].on_letters == pytest.approx(0.96)
    assert found["medqa", "full"].most_given[1] < 0.5
