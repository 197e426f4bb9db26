from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from med42lib.pack.packing import Layout, best_fit, best_fit_decreasing, concatenate, shuffled

CAPACITY = 64
LENGTHS = st.lists(st.integers(1, CAPACITY), min_size=1, max_size=120)
ANY_LENGTHS = st.lists(st.integers(1, 3 * CAPACITY), min_size=1, max_size=60)


def naive_best_fit_decreasing(lengths: list[int], capacity: int) -> list[int]:
    """The textbook's: free space of each bin, in no particular order."""
    free: list[int] = []
    for length in sorted(lengths, reverse=True):
        sufficient = [(space, number) for number, space in enumerate(free) if space >= length]
        if sufficient:
            free[min(sufficient)[1]] -= length
        else:
            free.append(capacity - length)
    return free


def free_spaces(lengths: np.ndarray, bins: np.ndarray, capacity: int) -> list[int]:
    return (capacity - np.bincount(bins, weights=lengths)).astype(int).tolist()


def pieces_by_chunk(layout: Layout) -> list[list[tuple[int, int, int]]]:
    starts = layout.chunk_starts.tolist()
    pieces = [tuple(piece) for piece in layout.pieces.tolist()]
    return [pieces[start:stop] for start, stop in pairwise(starts)]


def test_best_fit_decreasing_as_drawn() -> None:
    lengths = np.array([6, 5, 5, 2, 2, 2, 2, 1])
    assert best_fit_decreasing(lengths, 8).tolist() == [0, 1, 2, 0, 1, 2, 3, 1]


@settings(max_examples=300, deadline=None)
@given(LENGTHS)
def test_best_fit_decreasing_leaves_the_same_spaces_as_the_textbooks(lengths: list[int]) -> None:
    falling = np.sort(np.array(lengths))[::-1]
    spaces = free_spaces(falling, best_fit_decreasing(falling, CAPACITY), CAPACITY)
    assert sorted(spaces) == sorted(naive_best_fit_decreasing(lengths, CAPACITY))


@given(LENGTHS, st.integers(0, 2**32 - 1))
def test_best_fit_puts_every_sample_whole_into_one_chunk(lengths: list[int], seed: int) -> None:
    layout = best_fit(np.array(lengths), CAPACITY, seed)
    chunks = pieces_by_chunk(layout)
    assert sorted(piece for chunk in chunks for piece in chunk) == [(n, 0, t) for n, t in enumerate(lengths)]
    assert all(0 < sum(count for _, _, count in chunk) <= CAPACITY for chunk in chunks)


def test_the_seed_changes_the_order_of_best_fit_and_not_its_number_of_chunks() -> None:
    lengths = np.random.RandomState(0).randint(1, CAPACITY + 1, 500)
    one, same, other = (best_fit(lengths, CAPACITY, seed) for seed in (1, 1, 2))
    assert one.pieces.tolist() == same.pieces.tolist()
    assert one.pieces.tolist() != other.pieces.tolist()
    assert len(one.chunk_starts) == len(other.chunk_starts)


def test_best_fit_does_not_put_long_samples_first() -> None:
    lengths = np.arange(1, 1001)
    firsts = best_fit(lengths, 1000, seed=0).pieces[:, 2][:200]
    assert 300 < firsts.mean() < 700


def test_concatenate_as_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("med42lib.pack.packing.shuffled", lambda count, seed: np.arange(count))
    layout = concatenate(np.array([5, 2, 4]), 6, seed=0)
    assert pieces_by_chunk(layout) == [[(0, 0, 5), (1, 0, 1)], [(1, 1, 1), (2, 0, 4)]]


@given(ANY_LENGTHS, st.integers(0, 2**32 - 1))
def test_concatenate_loses_no_token_and_fills_every_chunk_but_the_last(lengths: list[int], seed: int) -> None:
    chunks = pieces_by_chunk(concatenate(np.array(lengths), CAPACITY, seed))
    taken = sorted((sample, offset + slot) for chunk in chunks for sample, offset, n in chunk for slot in range(n))
    assert taken == [(sample, slot) for sample, length in enumerate(lengths) for slot in range(length)]
    filled = [sum(count for _, _, count in chunk) for chunk in chunks]
    assert set(filled[:-1]) <= {CAPACITY}
    assert 0 < filled[-1] <= CAPACITY


def test_concatenate_keeps_the_pieces_of_a_sample_in_order() -> None:
    layout = concatenate(np.array([200, 10]), CAPACITY, seed=3)
    long = [offset for sample, offset, _ in layout.pieces.tolist() if sample == 0]
    assert long == sorted(long)
    assert len(long) >= 4


def test_the_order_for_a_seed_is_fixed_for_good() -> None:
    assert shuffled(8, 42).tolist() == [1, 5, 0, 7, 2, 4, 3, 6]
