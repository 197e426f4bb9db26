import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from med42lib.decontaminate import similarity
from med42lib.decontaminate.questions_in_windows import Floats64, Rows, about, exact
from med42lib.decontaminate.similarity import Comparison, compare

Vectors = NDArray[np.float32]


def unit(*rows: list[float]) -> Vectors:
    vectors = np.array(rows, np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def random_units(num_rows: int, seed: int, num_dimensions: int = 24) -> Vectors:
    """Draw vectors around the same few directions whatever the seed: many pairs have a similarity of about 0.8."""
    centres = np.random.default_rng(99).normal(size=(5, num_dimensions))
    random = np.random.default_rng(seed)
    rows = centres[random.integers(5, size=num_rows)] + 0.5 * random.normal(size=(num_rows, num_dimensions))
    return unit(*rows.astype(np.float32).tolist())


def pairs_of(comparison: Comparison) -> list[tuple[int, int]]:
    return list(zip(comparison.pair_item_P.tolist(), comparison.pair_train_P.tolist(), strict=True))


def test_every_pair_above_the_threshold_is_found_and_every_items_nearest() -> None:
    train_ND = unit([1, 0], [0, 1], [1, 1], [10, 1])
    items_MD = unit([1, 0], [-1, 0])

    found = compare(train_ND, items_MD, threshold=0.8, rows_per_block=2)

    assert pairs_of(found) == [(0, 0), (0, 3)]
    assert found.pair_cosine_P == pytest.approx([1.0, 10 / 101**0.5])
    assert found.nearest_train_M.tolist() == [0, 1]
    assert found.nearest_cosine_M == pytest.approx([1.0, 0.0], abs=1e-7)


def test_a_pair_at_exactly_the_threshold_is_not_above_it() -> None:
    train_ND, items_MD = unit([1, 0, 0, 0], [0, 1, 0, 0]), unit([1, 1, 1, 1])

    assert pairs_of(compare(train_ND, items_MD, threshold=0.5, rows_per_block=8)) == []
    assert pairs_of(compare(train_ND, items_MD, threshold=0.4999999, rows_per_block=8)) == [(0, 0), (0, 1)]


def test_no_pair_is_an_answer_too() -> None:
    found = compare(unit([0, 1]), unit([1, 0], [1, 0]), threshold=0.8, rows_per_block=1)

    assert pairs_of(found) == []
    assert found.nearest_train_M.tolist() == [0, 0]


def test_the_nearest_of_equals_is_the_lowest_row_in_whichever_block() -> None:
    train_ND = unit([0, 1], [3, 4], [3, 4], [3, 4])

    for rows_per_block in (1, 2, 3, 4):
        found = compare(train_ND, unit([3, 4]), threshold=0.8, rows_per_block=rows_per_block)
        assert found.nearest_train_M.tolist() == [1]
        assert pairs_of(found) == [(0, 1), (0, 2), (0, 3)]


@given(
    num_train=st.integers(1, 60),
    num_items=st.integers(1, 20),
    rows_per_block=st.integers(1, 70),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_the_result_is_that_of_the_whole_matrix_and_the_block_size_does_not_change_it(
    num_train: int, num_items: int, rows_per_block: int, seed: int
) -> None:
    train_ND, items_MD = random_units(num_train, seed), random_units(num_items, seed + 1)

    blocks = compare(train_ND, items_MD, threshold=0.8, rows_per_block=rows_per_block)
    whole = compare(train_ND, items_MD, threshold=0.8, rows_per_block=num_train)

    cosines_NM = train_ND.astype(np.float64) @ items_MD.T.astype(np.float64)
    expected = {(item, train) for train, item in np.argwhere(cosines_NM > 0.8).tolist()}
    assert set(pairs_of(blocks)) == expected
    assert np.allclose(blocks.nearest_cosine_M, cosines_NM.max(axis=0))
    for name in Comparison.__slots__:
        assert np.array_equal(getattr(blocks, name), getattr(whole, name)), name


def test_a_pair_that_float32_would_misjudge_is_decided_in_float64() -> None:
    train_ND, items_MD = random_units(400, 3, 384), random_units(40, 4, 384)
    exact_NM = train_ND.astype(np.float64) @ items_MD.T.astype(np.float64)
    exact_NM /= np.outer(
        np.linalg.norm(train_ND.astype(np.float64), axis=1), np.linalg.norm(items_MD.astype(float), axis=1)
    )
    rounded_NM = train_ND @ items_MD.T
    misjudged = np.argwhere((exact_NM > 0.1) & (rounded_NM < exact_NM - 1e-9))
    assert len(misjudged), "no product is rounded down; draw other vectors"

    for train, item in misjudged[:50].tolist():
        threshold = (float(rounded_NM[train, item]) + float(exact_NM[train, item])) / 2
        found = compare(train_ND, items_MD, threshold=threshold, rows_per_block=64)
        assert (item, train) in pairs_of(found)


def test_pairs_come_from_the_most_similar_down_for_each_item() -> None:
    found = compare(random_units(80, 0), random_units(20, 1), threshold=0.7, rows_per_block=16)

    order = list(zip(found.pair_item_P, -found.pair_cosine_P, found.pair_train_P, strict=True))
    assert len(order) > 50
    assert order == sorted(order)


def test_similarities_stay_within_one() -> None:
    vectors = random_units(500, 7, 384)
    rows = np.arange(500)

    assert (exact(vectors, vectors, rows, rows) <= 1.0).all()


def test_many_candidates_are_recomputed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    from med42lib.decontaminate import questions_in_windows

    train_ND, items_MD = random_units(50, 0), random_units(20, 1)
    whole = compare(train_ND, items_MD, threshold=0.3, rows_per_block=50)
    monkeypatch.setattr(questions_in_windows, "_PAIRS_AT_A_TIME", 7)

    parts = compare(train_ND, items_MD, threshold=0.3, rows_per_block=50)

    assert len(whole.pair_train_P) > 7
    assert np.array_equal(parts.pair_cosine_P, whole.pair_cosine_P)


def test_a_question_in_windows_is_as_like_as_its_window_that_is_found_worst() -> None:
    train_VD = unit([1, 0], [0, 1], [1, 0], [3, 4])  # one question of two windows, two of one
    items_WD = unit([1, 0], [0, 1], [1, 0])  # one question of two windows, one of one

    found = compare(
        train_VD,
        items_WD,
        threshold=0.5,
        rows_per_block=8,
        train_starts_N=np.array([0, 2, 3]),
        item_starts_M=np.array([0, 2]),
    )

    assert pairs_of(found) == [(0, 0), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert found.pair_cosine_P == pytest.approx([1, 0.6, 1, 1, 0.6])
    assert found.nearest_train_M.tolist() == [0, 0]


@given(
    train_counts=st.lists(st.integers(1, 6), min_size=1, max_size=20),
    item_counts=st.lists(st.integers(1, 3), min_size=1, max_size=10),
    rows_per_block=st.integers(1, 40),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_windows_are_compared_exactly_whatever_the_block(
    train_counts: list[int], item_counts: list[int], rows_per_block: int, seed: int
) -> None:
    train_VD, items_WD = random_units(sum(train_counts), seed), random_units(sum(item_counts), seed + 1)
    train_starts_N, item_starts_M = (np.cumsum([0, *counts][:-1]) for counts in (train_counts, item_counts))

    found = compare(
        train_VD,
        items_WD,
        threshold=0.6,
        rows_per_block=rows_per_block,
        train_starts_N=train_starts_N,
        item_starts_M=item_starts_M,
    )

    exact_VW = train_VD.astype(np.float64) @ items_WD.T.astype(np.float64)
    exact_NM = np.minimum.reduceat(np.maximum.reduceat(exact_VW, train_starts_N, axis=0), item_starts_M, axis=1)
    assert set(pairs_of(found)) == {(item, train) for train, item in np.argwhere(exact_NM > 0.6).tolist()}
    assert np.allclose(found.nearest_cosine_M, exact_NM.max(axis=0), atol=1e-6)
    assert found.pair_cosine_P == pytest.approx(exact_NM[found.pair_train_P, found.pair_item_P], abs=1e-6)


def like_embeddings(num_rows: int, seed: int) -> Vectors:
    """Draw vectors of 96 dimensions that lie along a few of them, as a sentence encoder's do; many are near others."""
    spread = np.exp(-np.arange(96) / 10)
    topics = np.random.default_rng(99).normal(size=(40, 96)) * spread
    random = np.random.default_rng(seed)
    rows = topics[random.integers(40, size=num_rows)] + random.uniform(0.2, 1.5, (num_rows, 1)) * (
        random.normal(size=(num_rows, 96)) * spread
    )
    turned = rows @ np.linalg.qr(np.random.default_rng(98).normal(size=(96, 96)))[0]
    return unit(*turned.astype(np.float32).tolist())


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pairs were looked at again, by block; the bound is used however few pairs there are."""
    from med42lib.decontaminate import bound

    counts: list[int] = []

    def counted(train_VD: Vectors, items_WD: Vectors, train_P: Rows, item_P: Rows) -> Floats64:
        counts.append(len(train_P))
        return about(train_VD, items_WD, train_P, item_P)

    monkeypatch.setattr(bound, "PAIRS_WORTH_AXES", 0)
    monkeypatch.setattr(similarity, "about", counted)
    monkeypatch.setattr(similarity, "_FIRST_CHOICE", 1)
    return counts


@pytest.mark.parametrize("threshold", [0.6, 0.8, 0.95])
def test_the_bound_leaves_few_pairs_and_loses_none(looked_at: list[int], threshold: float) -> None:
    train_ND, items_MD = like_embeddings(3_000, 1), like_embeddings(200, 2)
    exact_NM = train_ND.astype(np.float64) @ items_MD.T.astype(np.float64)

    found = compare(train_ND, items_MD, threshold=threshold, rows_per_block=100)

    assert set(pairs_of(found)) == {(item, train) for train, item in np.argwhere(exact_NM > threshold).tolist()}
    assert found.nearest_train_M.tolist() == exact_NM.argmax(axis=0).tolist()
    above = int((exact_NM > threshold).sum())
    assert sum(looked_at) < above + 0.1 * exact_NM.size


def test_windows_are_found_by_the_bound_too(looked_at: list[int]) -> None:
    random = np.random.default_rng(0)
    train_starts_N = np.flatnonzero(np.append(True, random.random(1_999) < 0.6))
    item_starts_M = np.flatnonzero(np.append(True, random.random(149) < 0.7))
    train_VD, items_WD = like_embeddings(2_000, 3), like_embeddings(150, 4)
    exact_VW = train_VD.astype(np.float64) @ items_WD.T.astype(np.float64)
    exact_NM = np.minimum.reduceat(np.maximum.reduceat(exact_VW, train_starts_N, axis=0), item_starts_M, axis=1)

    found = compare(
        train_VD,
        items_WD,
        threshold=0.7,
        rows_per_block=64,
        train_starts_N=train_starts_N,
        item_starts_M=item_starts_M,
    )

    assert set(pairs_of(found)) == {(item, train) for train, item in np.argwhere(exact_NM > 0.7).tolist()}
    assert found.nearest_train_M.tolist() == exact_NM.argmax(axis=0).tolist()
    assert 0 < sum(looked_at) < 0.5 * exact_NM.size


@pytest.mark.parametrize("cores", [1, 3, 8])
def test_the_number_of_cores_changes_nothing(monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    vectors = like_embeddings(500, 5), like_embeddings(60, 6)
    expected = compare(*vectors, threshold=0.8, rows_per_block=500)
    monkeypatch.setenv("OMP_NUM_THREADS", str(cores))

    found = compare(*vectors, threshold=0.8, rows_per_block=16)

    for name in Comparison.__slots__:
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name


@pytest.mark.parametrize(
    ("train_ND", "items_MD", "message"),
    [
        (unit([1, 0]), np.zeros((0, 2), np.float32), r"items_WD has shape \(0, 2\)"),
        (np.zeros((0, 2), np.float32), unit([1, 0]), r"train_VD has shape \(0, 2\)"),
        (np.array([[1, 0], [3, 4]], np.float32), unit([1, 0]), r"train_VD\[1\] has length 5\.000, expected 1"),
        (unit([1, 0]), np.array([[np.nan, 0]], np.float32), r"items_WD\[0\] has length nan, expected 1"),
        (unit([1, 0]), unit([1, 0, 0]), "train_VD has 2 dimensions but items_WD has 3"),
    ],
)
def test_vectors_that_cannot_be_compared_are_named(train_ND: Vectors, items_MD: Vectors, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare(train_ND, items_MD, threshold=0.8, rows_per_block=8)
