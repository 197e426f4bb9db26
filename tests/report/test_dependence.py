from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from med42lib.report.dependence import clustered_share, design_effect, sign_flip_p_value, spread
from med42lib.report.estimates import wilson


def sums(*numbers: int) -> NDArray[np.int64]:
    return np.array(numbers, dtype=np.int64)


@pytest.mark.parametrize(
    ("first_only", "second_only", "p"),
    [
        # Fagerland, Lydersen, Laake 2013, Table 4 (airway hyper-responsiveness): exact 0.070, mid-p 0.039.
        (1, 7, 0.0391),
        # Armitage & Berry (1994), p. 127: 12 against 2 disagreements, exact 0.0129; half of 2 * 91 / 2**14 is less.
        (12, 2, 0.0129 - 91 / 2**14),
        (5, 0, 0.03125),
    ],
)
def test_a_sum_for_each_question_is_mcnemars_exact_test_with_mid_p(first_only: int, second_only: int, p: float) -> None:
    assert sign_flip_p_value(sums(*[1] * first_only, *[-1] * second_only, 0, 0)) == pytest.approx(p, abs=6e-5)


@pytest.mark.parametrize("together", [sums(2, -1, 1, 0), sums(3, 3, -1, -2, 1), sums(4), sums(-2, -2, -1, 5)])
def test_clusters_are_flipped_like_coins(together: NDArray[np.int64]) -> None:
    sizes = np.abs(together)
    by_coins = [sizes @ np.array(signs) for signs in product((1, -1), repeat=len(sizes))]
    observed = abs(int(together.sum()))
    expected = np.mean([1.0 if abs(s) > observed else 0.5 * (abs(s) == observed) for s in by_coins])
    assert sign_flip_p_value(together) == pytest.approx(1.0 if observed == 0 else expected)


def test_models_that_never_disagree_are_not_told_apart() -> None:
    assert sign_flip_p_value(sums(0, 0, 0)) == 1.0
    assert sign_flip_p_value(sums()) == 1.0


def test_questions_that_are_repeated_count_as_often_as_they_differ() -> None:
    alone = np.array([0.5, -0.5, 0.5, -0.5, -0.5, 0.5] * 20)
    groups = np.arange(len(alone))
    assert design_effect(alone, groups) == 1.0
    assert design_effect(np.repeat(alone, 3), np.repeat(groups, 3)) == pytest.approx(3 * 120 / 119)
    assert design_effect(alone, groups // 2) == 1.0, "neighbours that cancel out do not narrow an interval"


def test_a_single_cluster_counts_as_one_draw() -> None:
    assert design_effect(np.array([0.5, 0.5, -0.4]), np.zeros(3, dtype=np.int64)) == 3.0


def test_a_share_of_others_is_as_uncertain_as_its_clusters_are_few() -> None:
    """Eight pairs each of ten questions, all of them leaks and all there are: of other questions ten tell."""
    right, questions = np.ones(80, dtype=np.bool_), np.arange(80) // 8
    found, n_effective = clustered_share(right, np.zeros(80, dtype=np.int64), np.array([80]), questions, 0.95)
    assert (found.value, found.high) == (1.0, 1.0)
    assert n_effective == pytest.approx(9)
    assert found.low == pytest.approx(wilson(9, 9, 0.95).low, abs=0.05)


def test_variance_between_trainings_is_told_from_that_of_questions() -> None:
    generator = np.random.default_rng(3)
    alike = np.tile(generator.random(1000) < 0.6, (3, 1))
    lucky = alike.copy()
    lucky[1, np.flatnonzero(~alike[0])[:100]] = True
    questions = np.arange(1000)
    assert spread(questions, alike).trainings == 0.0
    found = spread(questions, lucky)
    # Accuracies p, p + 0.1 and p: a variance of 0.01 / 3 between them, of which questions explain 0.1 / 3 / 1000.
    assert found.trainings == pytest.approx((0.01 - 0.1 / 1000) / 3 / 3)
    assert found.questions == pytest.approx(lucky.mean(axis=0).var() / 999)
    assert found.freedom == pytest.approx(2.0, abs=1.0), "three trainings say little of how they differ"
    assert found.estimate(0.6, 0.95, lowest=0.0).low < spread(questions, alike).estimate(0.6, 0.95, lowest=0.0).low
