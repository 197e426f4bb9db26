from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from med42lib.assemble.mixture import sample, without_duplicates
from med42lib.core.records import Example, Exchange, Origin


def example(number: int, *, line: int = 1) -> Example:
    exchange = Exchange(f"Question {number}?", f"Answer {number}.")
    return Example("headqa", "MIT", "system", (exchange,), exchange.prompter, Origin(str(number), "a.json", line))


EXAMPLES = [example(number) for number in range(60)]


@given(st.permutations(EXAMPLES), st.integers(1, 70))
def test_the_order_of_records_does_not_change_the_sample(shuffled: list[Example], target: int) -> None:
    assert sample(shuffled, target, seed=1) == sample(EXAMPLES, target, seed=1)


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 3))
def test_growing_the_target_keeps_what_was_chosen_before(one: int, other: int, seed: int) -> None:
    small, large = sorted([one, other])
    assert set(sample(EXAMPLES, small, seed=seed)) <= set(sample(EXAMPLES, large, seed=seed))


@given(st.integers(1, 70), st.randoms())
def test_where_a_record_stands_does_not_change_whether_it_is_chosen(target: int, random: Random) -> None:
    moved = [example(number, line=random.randint(1, 999)) for number in range(60)]
    assert {e.id for e in sample(moved, target, seed=1)} == {e.id for e in sample(EXAMPLES, target, seed=1)}


@pytest.mark.parametrize(("target", "taken"), [(1, 1), (59, 59), (60, 60), (61, 60), ("all", 60)])
def test_a_shortage_is_never_filled(target: int, taken: int) -> None:
    chosen = sample(EXAMPLES, target, seed=0)
    assert len(chosen) == len(set(chosen)) == taken


def test_of_exact_duplicates_the_first_is_kept() -> None:
    assert without_duplicates([example(1, line=1), example(2, line=2), example(1, line=3)]) == [
        example(1, line=1),
        example(2, line=2),
    ]
