import numpy as np
import pytest

from med42lib.formats.report import IN_DISTRIBUTION, MMLU_AVERAGE, OUT_OF_DISTRIBUTION, OVERALL, USMLE_AVERAGE
from med42lib.report.estimates import Estimate, PairedCounts, paired_difference, wilson
from med42lib.report.results.scores import Answers
from med42lib.report.results.table import Results, analyse, make_groups
from tests.report.models import MODELS, PAIRS

# Eight items. Right answers, by benchmark (a comma between items; * is contaminated):
#             mmlu_anatomy   mmlu_genetics        medqa
#             1  2  3  4*    1  2                 1  2*
BASE = (1, 0, 0, 0, 1, 0, 0, 0)
FULL = (1, 1, 0, 1, 1, 0, 1, 1)
LORA = (1, 0, 0, 1, 1, 1, 0, 1)
CONTAMINATED = (0, 0, 0, 1, 0, 0, 0, 1)
BENCHMARKS = ("mmlu_anatomy",) * 4 + ("mmlu_genetics",) * 2 + ("medqa",) * 2


@pytest.fixture(scope="module")
def results() -> Results:
    answers = Answers(
        item_ids=tuple("abcdefgh"),
        benchmark=np.array(BENCHMARKS),
        contaminated=np.array(CONTAMINATED, dtype=bool),
        correct={name: np.array(v, dtype=bool) for name, v in (("base", BASE), ("full", FULL), ("lora", LORA))},
    )
    return analyse(answers, MODELS, PAIRS, 0.95)


def test_mmlu_average_stands_after_the_last_topic_and_overall_last() -> None:
    groups = make_groups(("mmlu_a", "medqa", "mmlu_b", "headqa"))
    assert [group.key for group in groups] == ["mmlu_a", "medqa", "mmlu_b", MMLU_AVERAGE, "headqa", OVERALL]


def test_usmle_has_an_average_of_its_own_as_the_papers_table_1() -> None:
    groups = make_groups(("mmlu_a", "mmlu_b", "usmle_sample_exam", "usmle_self_assessment"))
    assert [group.key for group in groups] == [
        "mmlu_a",
        "mmlu_b",
        MMLU_AVERAGE,
        "usmle_sample_exam",
        "usmle_self_assessment",
        USMLE_AVERAGE,
        OVERALL,
    ]
    assert [group.key for group in groups if group.is_summary] == [MMLU_AVERAGE, USMLE_AVERAGE, OVERALL]


def test_benchmarks_that_were_trained_on_stand_apart_from_the_others() -> None:
    *_, inside, outside, everything = make_groups(
        ("mmlu_a", "medqa", "mmlu_b", "headqa"), {"headqa", "medquad", "medqa"}
    )
    assert (inside.key, inside.benchmarks) == (IN_DISTRIBUTION, ("medqa", "headqa"))
    assert (outside.key, outside.benchmarks) == (OUT_OF_DISTRIBUTION, ("mmlu_a", "mmlu_b"))
    assert everything.key == OVERALL
    for all_or_none in ({"headqa", "medqa"}, {"medquad"}):
        assert len(make_groups(("medqa", "headqa"), all_or_none)) == 3


def test_the_topics_of_mmlu_are_trained_on_where_its_one_source_is() -> None:
    *_, inside, outside, _ = make_groups(("mmlu_a", "medqa", "mmlu_b", "usmle_sample_exam"), {"mmlu", "medquad"})
    assert inside.benchmarks == ("mmlu_a", "mmlu_b")
    assert outside.benchmarks == ("medqa", "usmle_sample_exam")


def test_half_of_usmle_has_no_average() -> None:
    assert [group.key for group in make_groups(("usmle_self_assessment",))] == ["usmle_self_assessment", OVERALL]


def test_one_mmlu_topic_has_no_average() -> None:
    assert [group.key for group in make_groups(("mmlu_a", "medqa"))] == ["mmlu_a", "medqa", OVERALL]


@pytest.mark.parametrize(
    ("group", "model", "subset", "correct", "n"),
    [
        ("mmlu_anatomy", "base", "all", 1, 4),
        ("mmlu_anatomy", "full", "clean", 2, 3),
        ("mmlu_anatomy", "full", "contaminated", 1, 1),
        ("medqa", "lora", "clean", 0, 1),
        (OVERALL, "full", "all", 6, 8),
        (OVERALL, "lora", "clean", 3, 6),
    ],
)
def test_accuracies_are_counted_by_hand(
    results: Results, group: str, model: str, subset: str, correct: int, n: int
) -> None:
    found = results.accuracies[group, model, subset]
    assert (found.correct, found.n) == (correct, n)
    assert found.estimate == wilson(correct, n, 0.95)


def test_mmlu_average_weighs_topics_equally(results: Results) -> None:
    found = results.accuracies[MMLU_AVERAGE, "full", "all"]
    assert found.n == 6
    assert found.correct is None
    assert found.estimate is not None
    assert found.estimate.value == pytest.approx((3 / 4 + 1 / 2) / 2)


def test_the_papers_mmlu_average_is_reproduced() -> None:
    # Right answers that Med42's card implies; weighted by items it would be 76.3.
    topics = {"a": (197, 265), "b": (121, 144), "c": (119, 173), "d": (86, 100), "e": (217, 272), "f": (91, 135)}
    right = np.concatenate([np.arange(n) < k for k, n in topics.values()])
    names = np.concatenate([[f"mmlu_{topic}"] * n for topic, (_, n) in topics.items()])
    ids = tuple(str(number) for number in range(len(right)))
    answers = Answers(ids, names, np.zeros(len(right), dtype=bool), dict.fromkeys(("base", "full", "lora"), right))
    results = analyse(answers, MODELS, PAIRS, 0.95)
    average = results.accuracies[MMLU_AVERAGE, "full", "all"].estimate
    pooled = results.accuracies[OVERALL, "full", "all"].estimate
    assert average is not None
    assert pooled is not None
    assert round(average.value * 100, 1) == 76.7
    assert round(pooled.value * 100, 1) == 76.3
    assert pooled.low < average.low + 0.02


def test_the_same_questions_in_two_sets_tell_an_average_no_more_than_one_of_them() -> None:
    right = np.random.default_rng(0).random((3, 300)) < 0.6

    def average_of(sets: tuple[str, ...]) -> tuple[Estimate | None, Estimate | None]:
        times = len(sets)
        answers = Answers(
            tuple(map(str, range(300 * times))),
            np.repeat(sets, 300),
            np.zeros(300 * times, dtype=bool),
            {name: np.tile(values, times) for name, values in zip(("base", "full", "lora"), right, strict=True)},
            group=np.tile(np.arange(300), times),
        )
        results = analyse(answers, MODELS, PAIRS, 0.95)
        key = USMLE_AVERAGE if times > 1 else sets[0]
        return results.accuracies[key, "full", "all"].estimate, results.differences[key, "full", "base", "all"].estimate

    for once, twice in zip(average_of(("usmle_a",)), average_of(("usmle_a", "usmle_b")), strict=True):
        assert once is not None
        assert twice is not None
        assert (twice.value, twice.low, twice.high) == pytest.approx((once.value, once.low, once.high), abs=0.002)


def test_the_luck_of_a_seed_in_all_topics_is_not_averaged_away() -> None:
    # Of each of four topics' 100 questions the first training answers 50 right, the second 70.
    right = {f"full{k}": np.tile(np.arange(100) < n, 4) for k, n in ((1, 50), (2, 70))}
    right |= {"base": right["full1"], "lora": right["full1"]}
    answers = Answers(
        tuple(map(str, range(400))),
        np.repeat([f"mmlu_{topic}" for topic in "abcd"], 100),
        np.zeros(400, dtype=bool),
        right,
        trainings={"base": ("base",), "full": ("full1", "full2"), "lora": ("lora",)},
    )
    results = analyse(answers, MODELS, PAIRS, 0.95)
    average, pooled = (results.accuracies[key, "full", "all"] for key in (MMLU_AVERAGE, OVERALL))
    assert average.trainings == pytest.approx((0.5, 0.7))
    assert average.spread is not None
    assert pooled.spread is not None
    assert average.spread.trainings == pytest.approx(pooled.spread.trainings, rel=1e-6)
    assert results.differences[MMLU_AVERAGE, "full", "base", "all"].spread is not None


def test_differences_are_paired(results: Results) -> None:
    found = results.differences[OVERALL, "full", "lora", "all"]
    assert found.counts == PairedCounts(both=4, first_only=2, second_only=1, neither=1)
    assert found.estimate == paired_difference(found.counts, 0.95)
    assert found.p_value == 0.625  # two of three disagreements, mid-p: 2 * (1/8 + 3/16)


def test_only_benchmarks_get_an_adjusted_p_value(results: Results) -> None:
    assert results.differences["medqa", "full", "base", "clean"].adjusted_p_value == 1.0
    assert results.differences[OVERALL, "full", "base", "clean"].adjusted_p_value is None
    assert results.differences[MMLU_AVERAGE, "full", "base", "clean"].p_value is None


def test_change_is_clean_minus_all(results: Results) -> None:
    change = results.changes["mmlu_anatomy", "full"]
    assert change is not None
    assert change.estimate.value == pytest.approx(2 / 3 - 3 / 4)
    assert change.estimate.low < change.estimate.value < change.estimate.high


def test_benchmarks_change_each_by_itself_and_count_by_their_questions(results: Results) -> None:
    change = results.changes[OVERALL, "full"]
    assert change is not None
    # Anatomy, 4 of 8 questions, from 3/4 to 2/3; genetics, 2 of 8, not at all; MedQA, 2 of 8, from 1 to 1.
    assert change.estimate.value == pytest.approx((2 / 3 - 3 / 4) * 4 / 8)


def test_a_change_stays_within_what_is_possible(results: Results) -> None:
    # One of four questions can take a quarter from an accuracy, and a half from a difference.
    change, gain = results.changes["mmlu_anatomy", "full"], results.gain_changes["mmlu_anatomy", "full", "base"]
    assert change is not None
    assert gain is not None
    assert -1 / 4 <= change.estimate.low <= change.estimate.high <= 1 / 4
    assert -1 / 2 <= gain.estimate.low <= gain.estimate.high <= 1 / 2


def test_change_of_a_gain_is_the_gain_on_clean_minus_that_on_all(results: Results) -> None:
    change = results.gain_changes[OVERALL, "full", "base"]
    assert change is not None
    # Anatomy gains 2 of 4, 1 of 3 clean; genetics nothing; MedQA 2 of 2, 1 of 1 clean.
    assert change.estimate.value == pytest.approx((1 / 3 - 2 / 4) * 4 / 8)


def test_nothing_removed_changes_nothing(results: Results) -> None:
    change = results.changes["mmlu_genetics", "full"]
    assert change is not None
    assert change.estimate == Estimate(0.0, 0.0, 0.0)


def test_an_empty_subset_has_no_estimate(results: Results) -> None:
    found = results.accuracies["mmlu_genetics", "base", "contaminated"]
    assert (found.n, found.estimate) == (0, None)
    assert results.differences["mmlu_genetics", "full", "base", "contaminated"].estimate is None
    assert results.accuracies[MMLU_AVERAGE, "base", "contaminated"].estimate is None
