from dataclasses import replace

import numpy as np
import pytest

from med42lib.report.estimates import smallest_shown
from med42lib.report.results.scores import Answers
from tests.report.simulations import GROUPS, answers, difference_of

QUESTIONS = 300


def test_one_training_is_compared_with_three_by_the_spread_of_seeds_in_either_order() -> None:
    right = np.random.default_rng(0).random((4, QUESTIONS)) < 0.6
    given = Answers(
        tuple(map(str, range(QUESTIONS))),
        np.full(QUESTIONS, "medqa"),
        np.zeros(QUESTIONS, dtype=bool),
        dict(zip(("full", "lora1", "lora2", "lora3"), right, strict=True)),
        trainings={"full": ("full",), "lora": ("lora1", "lora2", "lora3")},
    )
    there, back = difference_of(given, "full", "lora"), difference_of(given, "lora", "full")
    for found in (there, back):
        assert found.spread is not None
        assert found.estimate is not None
        assert found.p_value == pytest.approx(found.spread.p_value(found.estimate.value))
    assert there.estimate is not None
    assert back.estimate is not None
    assert (there.estimate.value, there.estimate.low) == pytest.approx((-back.estimate.value, -back.estimate.high))
    assert there.p_value == back.p_value


def test_what_belongs_together_shows_no_smaller_difference_than_as_many_independent_questions() -> None:
    generator = np.random.default_rng(3)
    chances = [np.repeat(generator.beta(7 / 6, 7 / 6, 100), 4) for _ in range(3)]
    found = difference_of(answers(generator, *chances, group=GROUPS))
    assert found.design_effect > 1.2
    assert found.counts is not None
    disagreement = (found.counts.first_only + found.counts.second_only) / 400
    assert found.smallest_shown(0.05) == smallest_shown(400 / found.design_effect, disagreement, alpha=0.05)


def test_seeds_that_lie_far_apart_show_no_difference_at_all() -> None:
    half = np.arange(QUESTIONS) < QUESTIONS / 2
    given = Answers(
        tuple(map(str, range(QUESTIONS))),
        np.full(QUESTIONS, "medqa"),
        np.zeros(QUESTIONS, dtype=bool),
        {"base": half, "full1": half, "full2": np.zeros_like(half)},
        trainings={"base": ("base",), "full": ("full1", "full2")},
    )
    found = difference_of(given)
    assert found.smallest_shown(0.05) is None
    assert found.spread is not None
    close = replace(found, spread=replace(found.spread, trainings=0.0, freedom=1000.0))
    smallest = close.smallest_shown(0.05)
    assert smallest is not None
    # What is just significant lies 0.8 quantiles below it.
    assert close.spread is not None
    just = smallest - close.spread.quantile(0.8) * close.spread.standard_error
    assert close.spread.p_value(just) == pytest.approx(0.05)
