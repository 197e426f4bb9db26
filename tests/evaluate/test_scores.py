import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from med42lib.core.errors import DataError
from med42lib.evaluate.config import EvaluateConfig
from med42lib.evaluate.scores import score_item, summarise
from med42lib.formats.records import BenchmarkItem
from med42lib.formats.scores import Normalise, Score


@pytest.fixture
def short_and_long(make_item: Callable[..., BenchmarkItem]) -> BenchmarkItem:
    """Three options of 2, 8 and 4 characters; the last has 8 bytes."""
    return make_item("medqa", 1, "Which?", ("ab", "abcdefgh", "ßßßß"), 1)


def scored(item: BenchmarkItem, loglikelihoods: list[float], normalise: Normalise = "none") -> Score:
    return score_item(item, item.options, loglikelihoods, normalise=normalise, truncated=False)


@pytest.mark.parametrize(
    ("normalise", "prediction"),
    [
        ("none", 0),  # -2, -6, -5
        ("characters", 1),  # -1, -0.75, -1.25
        ("bytes", 2),  # -1, -0.75, -0.625
    ],
)
def test_the_highest_normalised_loglikelihood_wins(
    short_and_long: BenchmarkItem, normalise: Normalise, prediction: int
) -> None:
    score = scored(short_and_long, [-2.0, -6.0, -5.0], normalise)
    assert score.prediction == prediction
    assert score.correct == (prediction == 1)
    assert score.loglikelihoods == (-2.0, -6.0, -5.0)


def test_ties_go_to_the_earlier_option(short_and_long: BenchmarkItem) -> None:
    assert scored(short_and_long, [-3.0, -1.0, -1.0]).prediction == 1


@pytest.mark.parametrize(
    "options", [("Folate", "Zinc", "Zinc"), ("Zinc", "Folate", "Zinc."), ("Zinc ", "Folate", "Zinc")]
)
@pytest.mark.parametrize("normalise", ["none", "bytes"])
def test_an_option_that_says_the_same_as_the_right_one_is_right(
    make_item: Callable[..., BenchmarkItem], options: tuple[str, ...], normalise: Normalise
) -> None:
    item = make_item("medmcqa", 1, "Which?", options, 2)
    folate = options.index("Folate")
    for position in range(3):
        loglikelihoods = [-9.0, -9.0, -9.0]
        loglikelihoods[position] = -1.0
        assert scored(item, loglikelihoods, normalise).correct == (position != folate)


def test_options_that_differ_in_case_alone_are_different_answers(make_item: Callable[..., BenchmarkItem]) -> None:
    genotypes = make_item("mmlu_medical_genetics", 1, "Which genotype?", ("BB", "Bb", "bb"), 1)
    assert [scored(genotypes, loglikelihoods).correct for loglikelihoods in ([-1, -2, -3], [-2, -1, -3])] == [
        False,
        True,
    ]


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_loglikelihood_that_is_no_number_is_an_error_and_never_a_score(
    short_and_long: BenchmarkItem, broken: float
) -> None:
    with pytest.raises(DataError, match="medqa/1"):
        scored(short_and_long, [-1.0, broken, -2.0])


def test_the_summary_counts_each_benchmark_and_says_how_it_was_scored(
    short_and_long: BenchmarkItem, settings: Callable[..., EvaluateConfig]
) -> None:
    right, wrong = scored(short_and_long, [-2.0, -1.0, -3.0]), scored(short_and_long, [-1.0, -2.0, -3.0])
    other = replace(wrong, benchmark="headqa", truncated=True)
    summary = summarise([right, other, wrong, wrong], settings(benchmarks={"headqa": {"scoring": "texts"}}))
    assert list(summary) == ["medqa", "headqa"]
    assert summary["medqa"] == {
        "items": 3,
        "accuracy": 1 / 3,
        "scoring": "letters",
        "normalise": "bytes",
        "prompt": "med42",
        "truncated": 0,
    }
    assert (summary["headqa"]["scoring"], summary["headqa"]["truncated"]) == ("texts", 1)
