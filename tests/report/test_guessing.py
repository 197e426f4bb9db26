from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from med42lib.report.guessing import calibration_error, chance_p_value


def test_guessing_two_questions_gives_the_probabilities_of_the_docstring() -> None:
    chances = np.array([1 / 2, 1 / 4])
    apart, together = np.arange(2), np.zeros(2, dtype=np.int64)
    assert [chance_p_value(right, chances, apart) for right in range(3)] == pytest.approx([1, 5 / 8, 1 / 8])
    assert [chance_p_value(right, chances, together) for right in range(3)] == pytest.approx([1, 4 / 8, 2 / 8])


@pytest.mark.parametrize(("right", "n", "chance"), [(0, 5, 0.25), (5, 5, 0.25), (341, 1273, 0.25), (400, 1273, 0.25)])
def test_equal_chances_give_the_binomial_tail(right: int, n: int, chance: float) -> None:
    from scipy.special import bdtrc

    expected = bdtrc(right - 1, n, chance) if right else 1.0
    assert chance_p_value(right, np.full(n, chance), np.arange(n)) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.sampled_from([0.2, 0.25, 1 / 3, 0.5, 1.0]), min_size=1, max_size=7), st.integers(0, 2**31))
def test_unequal_chances_give_the_sum_over_all_outcomes(chances: list[float], seed: int) -> None:
    clusters = np.random.default_rng(seed).integers(0, len(chances), len(chances))
    right = int(np.random.default_rng(seed).integers(0, len(chances) + 1))
    pmf = {0: 1.0}
    for cluster in np.unique(clusters):
        ends = sorted({0.0, 1.0, *(c for c, k in zip(chances, clusters, strict=True) if k == cluster)})
        draws = [
            (high - low, sum(c > low for c, k in zip(chances, clusters, strict=True) if k == cluster))
            for low, high in pairwise(ends)
        ]
        sums: dict[int, float] = {}
        for (so_far, p), (weight, number) in product(pmf.items(), draws):
            sums[so_far + number] = sums.get(so_far + number, 0.0) + p * weight
        pmf = sums
    expected = sum(p for number, p in pmf.items() if number >= right)
    assert chance_p_value(right, np.array(chances), clusters) == pytest.approx(expected, abs=1e-11)


def test_calibration_error_weighs_the_gap_of_each_of_ten_bins() -> None:
    confidence = np.array([0.91, 0.99, 1.0, 0.55, 0.41, 0.49])
    right = np.array([True, True, False, True, False, False])
    gap = abs(0.91 + 0.99 + 1.0 - 2) + abs(0.55 - 1) + abs(0.41 + 0.49 - 0)
    assert calibration_error(confidence, right).value == pytest.approx(gap / 6)


def test_a_calibrated_model_shows_on_average_the_error_that_is_said_to_be_luck() -> None:
    draws = np.random.default_rng(5)
    confidence = draws.uniform(0.25, 1.0, 300)
    found = [calibration_error(confidence, draws.uniform(size=300) < confidence) for _ in range(400)]
    assert np.mean([error.value for error in found]) == pytest.approx(found[0].by_luck, rel=0.05)


def test_no_answers_have_no_calibration() -> None:
    with pytest.raises(ValueError, match="no answer"):
        calibration_error(np.zeros(0), np.zeros(0, dtype=bool))
