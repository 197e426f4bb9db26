from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest

from med42lib.report.results import leaks
from med42lib.report.results.scores import Answers
from tests.report.simulations import answers, gain_of

NUM = 200
LEAKED = np.arange(NUM) < 40


def of_chances(leaked_gain: float, group: np.ndarray | None = None) -> Answers:
    generator = np.random.default_rng(5)
    base = np.full(NUM, 0.4)
    return answers(generator, base, base + np.where(LEAKED, leaked_gain, 0.05), base, leaked=LEAKED, group=group)


def test_the_same_training_three_times_tells_no_more_than_once() -> None:
    given = of_chances(0.3)
    correct = {"base": given.correct["base"], **{f"full{k}": given.correct["full"] for k in (1, 2, 3)}}
    thrice = replace(given, correct=correct, trainings={"base": ("base",), "full": ("full1", "full2", "full3")})
    once, repeated = gain_of(given), gain_of(thrice)
    assert once.p_odds < 0.1
    assert repeated.p_odds == pytest.approx(once.p_odds, rel=0.05)
    assert repeated.p_points == pytest.approx(once.p_points, rel=0.05)


def test_leaks_that_belong_together_count_as_one_in_the_odds_too() -> None:
    given = of_chances(0.3)

    # Each question stands there four times, as if each copy were one of its own or all were one.
    def copied(group: np.ndarray) -> Answers:
        times = 4
        return Answers(
            tuple(map(str, range(NUM * times))),
            np.tile(given.benchmark, times),
            np.tile(given.contaminated, times),
            {name: np.tile(right, times) for name, right in given.correct.items()},
            group=group,
        )

    apart, together = (gain_of(copied(group)) for group in (np.arange(4 * NUM), np.tile(np.arange(NUM), 4)))
    assert apart.p_odds < together.p_odds / 10
    assert together.p_odds == pytest.approx(gain_of(given).p_odds, rel=0.05)


def test_where_no_gain_varies_the_interval_still_has_a_width() -> None:
    right = np.random.default_rng(1).random(NUM) < 0.5
    alike = Answers(tuple(map(str, range(NUM))), np.full(NUM, "medqa"), LEAKED, {"base": right, "full": right})
    found = gain_of(alike)
    assert found.added.low < 0.0 < found.added.high
    assert found.p_points == found.p_odds == 1.0


def test_a_single_leaked_question_is_judged_by_how_others_vary() -> None:
    # Its own variance cannot be told: it is not none.
    base = np.arange(NUM) % 2 == 0
    full = base.copy()
    full[0:20] = True
    one = Answers(tuple(map(str, range(NUM))), np.full(NUM, "medqa"), np.arange(NUM) == 1, {"base": base, "full": full})
    found = gain_of(one)
    assert found.leaked == 1.0
    # 10 of 200 gained: a gain of the one leaked question is no wonder, by chance one of twenty.
    assert found.p_points > 1e-6
    gains = full.astype(float) - base
    shuffled = gains.std(ddof=1) / NUM / (1 - 1 / NUM) ** 0.5
    assert found.standard_error >= 0.9 * shuffled


def test_the_smallest_gain_shown_has_a_power_of_four_in_five() -> None:
    assert pytest.approx(NormalDist().inv_cdf(0.8)) == leaks._POWER_QUANTILE
