import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from med42lib.report.estimates import (
    Estimate,
    PairedCounts,
    Stratum,
    holm,
    linear_combination,
    mean,
    paired_difference,
    share_of_others,
    smallest_shown,
    stratified_share,
    wilson,
)

cells = st.integers(min_value=0, max_value=400)


def counts_of(both: int, first_only: int, second_only: int, neither: int) -> PairedCounts:
    return PairedCounts(both, first_only, second_only, neither)


def ends(estimate: Estimate, digits: int = 4) -> tuple[float, float]:
    return round(estimate.low, digits), round(estimate.high, digits)


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_values(correct: int, n: int, low: float, high: float) -> None:
    # Newcombe 1998 (Stat. Med. 17, 857-872), Table I, method 3.
    assert ends(wilson(correct, n, 0.95)) == (low, high)


def test_wilson_covers_exactly_zero_and_one_at_the_ends() -> None:
    assert wilson(0, 7, 0.95).low == 0.0
    assert wilson(7, 7, 0.95).high == 1.0


@pytest.mark.parametrize(("correct", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(correct: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"{correct} right answers of {n}"):
        wilson(correct, n, 0.95)


@pytest.mark.parametrize(
    ("cells", "difference", "low", "high"),
    [
        # Fagerland, Lydersen, Laake, Statistical Analysis of Contingency Tables (2017), chapter 8.
        ((59, 6, 16, 80), -0.0621, -0.1186, -0.0046),
        ((1, 1, 7, 12), -0.2857, -0.5069, -0.0256),
        # Altman, Machin, Bryant, Gardner, Statistics with Confidence (2000), Table 6.2.
        ((14, 5, 0, 22), 0.1220, 0.0115, 0.2265),
    ],
    ids=["complete response", "airway", "Altman"],
)
def test_paired_difference_gives_the_published_values(
    cells: tuple[int, int, int, int], difference: float, low: float, high: float
) -> None:
    estimate = paired_difference(counts_of(*cells), 0.95)
    assert round(estimate.value, 4) == difference
    assert ends(estimate) == (low, high)


@pytest.mark.parametrize(("both", "neither"), [(50, 50), (0, 30), (30, 0), (1, 0)])
def test_models_that_never_disagree_still_have_an_interval(both: int, neither: int) -> None:
    estimate = paired_difference(counts_of(both, 0, 0, neither), 0.95)
    assert estimate.value == 0.0
    assert estimate.low < 0.0 < estimate.high
    assert estimate.low == pytest.approx(-estimate.high)


def test_agreement_narrows_the_paired_interval() -> None:
    # 60 and 50 of 100 right, either nested in one another or as independent as counts allow.
    nested = paired_difference(counts_of(50, 10, 0, 40), 0.95)
    independent = paired_difference(counts_of(30, 30, 20, 20), 0.95)
    assert nested.value == independent.value == 0.1
    assert nested.high - nested.low < 0.6 * (independent.high - independent.low)


@given(cells, cells, cells, cells)
def test_paired_difference_is_antisymmetric_and_lies_within_its_interval(
    both: int, first_only: int, second_only: int, neither: int
) -> None:
    if both + first_only + second_only + neither == 0:
        return
    estimate = paired_difference(counts_of(both, first_only, second_only, neither), 0.95)
    swapped = paired_difference(counts_of(both, second_only, first_only, neither), 0.95)
    assert -1.0 - 1e-12 <= estimate.low <= estimate.value <= estimate.high <= 1.0 + 1e-12
    assert (-swapped).low == pytest.approx(estimate.low)
    assert (-swapped).high == pytest.approx(estimate.high)


def test_independent_proportions_give_newcombes_published_interval() -> None:
    # Newcombe 1998 (Stat. Med. 17, 873-890), Table II, method 10: 56/70 against 48/80.
    difference = linear_combination([1, -1], [wilson(56, 70, 0.95), wilson(48, 80, 0.95)])
    assert difference.value == pytest.approx(0.2)
    assert ends(difference) == (0.0524, 0.3339)


def test_difference_of_differences_gives_newcombes_published_interval() -> None:
    # Newcombe 2001 (Stat. Med. 20, 2885-2893), the Bristol Antenatal Care Study.
    groups = [wilson(k, n, 0.95) for k, n in ((17, 65), (17, 75), (18, 72), (16, 65))]
    estimate = linear_combination([1, -1, -1, 1], groups)
    assert round(estimate.value, 4) == 0.0310
    assert ends(estimate) == (-0.1687, 0.2343)


def test_mean_of_equal_groups_is_narrower_than_each() -> None:
    one = wilson(50, 100, 0.95)
    four = mean([one] * 4)
    assert four.value == pytest.approx(0.5)
    assert four.high - four.value == pytest.approx((one.high - one.value) / 2)


def test_an_average_of_one_share_is_about_wilsons_interval_and_of_none_right_ends_at_zero() -> None:
    one, alone = share_of_others([Stratum(60, 100, 1)], 1.0, 0.95), wilson(60, 100, 0.95)
    assert (one.value, *ends(one, 3)) == (alone.value, *ends(alone, 3))
    none = share_of_others([Stratum(0, 20, 1), Stratum(0, 30, 1)], 1.0, 0.95)
    assert (none.value, none.low) == (0.0, 0.0)
    assert share_of_others([Stratum(20, 20, 1), Stratum(30, 30, 1)], 1.0, 0.95).high == 1.0


def test_combining_needs_one_weight_for_each_estimate() -> None:
    with pytest.raises(ValueError, match="2 weights for 1 estimates"):
        linear_combination([1, -1], [wilson(1, 2, 0.95)])


def test_more_questions_show_smaller_differences() -> None:
    found = [smallest for n in (100, 400, 1600) if (smallest := smallest_shown(n, 0.3, alpha=0.05))]
    assert found == sorted(found, reverse=True)
    # Connor 1987's formula: n = (1.96 sqrt(0.3) + 0.8416 sqrt(0.3 - d * d))**2 / d**2.
    difference = found[1]
    needed = (1.959964 * 0.3**0.5 + 0.841621 * (0.3 - difference**2) ** 0.5) ** 2 / difference**2
    assert needed == pytest.approx(400, rel=1e-6)


def test_no_difference_is_the_smallest_where_mid_p_cannot_be_small_enough() -> None:
    # The smallest mid-p of n questions is a half to the power of n: 0.0625 of four, 0.031 of five, 0.0156 of six.
    assert smallest_shown(4, 0.0, alpha=0.05) is None
    assert smallest_shown(5, 0.0, alpha=0.05) is not None
    assert smallest_shown(6, 0.0, alpha=0.05 / 5) is None


def test_holm_multiplies_the_smallest_most_and_never_reverses_an_order() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_an_interval_that_ends_at_zero_includes_it() -> None:
    assert Estimate(0.1, 0.0, 0.2).includes_zero
    assert not Estimate(0.1, 0.001, 0.2).includes_zero


@pytest.mark.parametrize("shares", [(0.9, 0.5, 0.2), (0.95, 0.9, 0.7), (1.0, 0.98, 0.9)])
def test_a_stratified_sample_covers_the_truth_as_often_as_it_says(shares: tuple[float, ...]) -> None:
    """1,000 samples of 40 from each of three strata, drawn without putting back; Monte-Carlo error 0.7 %."""
    draw = np.random.default_rng(1)
    sizes = (60, 120, 400)
    right = [round(size * share) for size, share in zip(sizes, shares, strict=True)]
    covered = 0
    for _ in range(1000):
        drawn = [int(draw.hypergeometric(r, size - r, 40)) for r, size in zip(right, sizes, strict=True)]
        found = stratified_share([Stratum(r, 40, size) for r, size in zip(drawn, sizes, strict=True)], 0.95)
        covered += found.low <= sum(right) / sum(sizes) <= found.high
    assert 0.925 < covered / 1000 < 0.98


def test_strata_count_by_their_size_and_one_that_was_drawn_whole_is_known() -> None:
    assert stratified_share([Stratum(3, 4, 4)], 0.95) == Estimate(0.75, 0.75, 0.75)
    assert stratified_share([Stratum(1, 1, 1), Stratum(0, 10, 99)], 0.95).value == pytest.approx(0.01)
    alone, large = stratified_share([Stratum(81, 263, 10**9)], 0.95), wilson(81, 263, 0.95)
    assert ends(alone) == ends(large)
    with pytest.raises(ValueError, match="no proportion"):
        stratified_share([], 0.95)


def test_models_that_never_disagreed_may_do_so_in_one_question() -> None:
    # Connor 1987's formula with a disagreement of 1 in 100, and of the difference itself once that is more.
    assert smallest_shown(100, 0.0, alpha=0.05) == pytest.approx(0.0767, abs=1e-3)
