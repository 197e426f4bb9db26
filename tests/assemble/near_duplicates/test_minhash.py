from itertools import combinations, pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from med42lib.assemble.near_duplicates import minhash
from med42lib.assemble.near_duplicates.minhash import NUM_PERMUTATIONS, Signer, find_pairs, rows_per_band, shingles

words = st.lists(st.sampled_from(["aspirin", "fever", "a", "β", "É"]), max_size=8)


def sets(*texts: str) -> list[set[int]]:
    hashes, offsets = shingles(pa.array(texts, pa.string()))
    assert offsets[-1] == len(hashes)
    return [set(hashes[start:end].tolist()) for start, end in pairwise(offsets.tolist())]


def spelled_out(text: str) -> set[tuple[str, ...]]:
    """The shingles of a text without punctuation, as words."""
    split = text.casefold().split()
    return {tuple(split[start : start + 3]) for start in range(max(1, len(split) - 2))}


def test_three_words_in_a_row_are_a_shingle_as_in_the_docstring() -> None:
    (sentence,) = sets("Give aspirin, twice a day.")
    assert sentence == set.union(*sets("give aspirin twice", "aspirin twice a", "twice a day"))
    assert len(sentence) == 3


def test_case_white_space_and_punctuation_around_words_do_not_count() -> None:
    assert sets(" (Give) “aspirin”,\n twice  a\tday … ")[0] == sets("give ASPIRIN twice a day .")[0]


def test_order_counts() -> None:
    forth, back = sets("fever after surgery", "surgery after fever")
    assert not forth & back


@pytest.mark.parametrize("text", ["fever", "high fever", "", " \n"])
def test_a_text_shorter_than_a_shingle_is_one(text: str) -> None:
    assert len(sets(text)[0]) == 1


@given(st.lists(words.map(" ".join), min_size=1, max_size=6))
def test_shingles_are_shared_as_the_words_are(texts: list[str]) -> None:
    hashed, spelled = sets(*texts), [spelled_out(text) for text in texts]
    for one in range(len(texts)):
        for other in range(len(texts)):
            assert len(hashed[one] & hashed[other]) == len(spelled[one] & spelled[other])


@given(st.lists(words.map(" ".join), min_size=2, max_size=6))
def test_a_text_has_the_same_shingles_whatever_stands_beside_it(texts: list[str]) -> None:
    assert sets(*texts) == [sets(text)[0] for text in texts]


def test_hashes_are_the_same_on_every_machine() -> None:
    hashes, _ = shingles(pa.array(["give aspirin twice a day"]))
    assert hashes.dtype == np.uint32
    assert hashes.tolist() == [394_809_004, 2_395_569_635, 2_495_777_355]


Sets = list[list[int]]


def sign(sets: Sets) -> NDArray[np.uint32]:
    offsets = np.cumsum([0, *map(len, sets)])
    return Signer().sign(np.array([number for one in sets for number in one], np.uint32), offsets)


def similarity(one: list[int], other: list[int]) -> float:
    return len({*one} & {*other}) / len({*one, *other})


def overlapping(rng: np.random.Generator, similarity: float, size: int = 200) -> Sets:
    """Two sets of a size that have a Jaccard similarity in common."""
    common = round(2 * size * similarity / (1 + similarity))
    drawn = rng.integers(0, 2**32, 2 * size - common).tolist()
    return [drawn[:size], drawn[size - common :]]


@pytest.mark.parametrize("wanted", [0.3, 0.6, 0.8, 0.95])
def test_signatures_estimate_similarity_without_bias(wanted: float) -> None:
    rng = np.random.default_rng(1)
    pairs = [overlapping(rng, wanted) for _ in range(150)]
    errors = [float(np.mean(np.equal(*sign(pair)))) - similarity(*pair) for pair in pairs]
    expected = (wanted * (1 - wanted) / NUM_PERMUTATIONS) ** 0.5
    assert abs(np.mean(errors)) < 4 * expected / len(errors) ** 0.5
    assert np.std(errors) == pytest.approx(expected, rel=0.25)


def test_a_signature_depends_on_the_set_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    one = sign([[3, 1, 2], [7] * 50])
    assert (one == sign([[1, 2, 3, 3, 1], [7]])).all()
    monkeypatch.setattr(minhash, "_SHINGLES_PER_UPDATE", 2)
    assert (one == sign([[3, 1, 2], [7] * 50])).all()


@pytest.mark.parametrize(("threshold", "length"), [(0.5, 3), (0.8, 6), (0.9, 10), (1.0, 127)])
def test_bands_are_as_long_as_they_can_be_and_find_almost_all(threshold: float, length: int) -> None:
    assert rows_per_band(threshold) == length


def test_pairs_are_those_that_comparing_all_with_all_finds() -> None:
    rng = np.random.default_rng(2)
    sets = [one for wanted in np.linspace(0.4, 1.0, 120) for one in overlapping(rng, float(wanted), 60)]
    signatures = sign(sets)
    all_pairs = [
        [one, other]
        for one, other in combinations(range(len(sets)), 2)
        if np.count_nonzero(signatures[one] == signatures[other]) >= 0.8 * NUM_PERMUTATIONS
    ]
    found = find_pairs(signatures, 0.8)
    assert found.complete
    assert found.pairs.tolist() == all_pairs
    assert 30 < len(all_pairs) < 60


def test_the_threshold_belongs_to_those_found() -> None:
    signatures = np.arange(2 * NUM_PERMUTATIONS, dtype=np.uint32).reshape(2, -1)
    signatures[1, :64] = signatures[0, :64]
    assert find_pairs(signatures, 0.5).pairs.tolist() == [[0, 1]]
    signatures[1, 63] = 999
    assert len(find_pairs(signatures, 0.5).pairs) == 0


@pytest.mark.parametrize("num_rows", [0, 1])
def test_too_few_rows_have_no_pairs(num_rows: int) -> None:
    found = find_pairs(np.zeros((num_rows, NUM_PERMUTATIONS), np.uint32), 0.8)
    assert (found.pairs.shape, found.complete) == ((0, 2), True)


def test_many_rows_of_one_template_are_linked_though_not_all_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minhash, "MAX_NEIGHBOURS", 3)
    found = find_pairs(sign([[1, 2, 3]] * 10), 0.8)
    assert not found.complete
    assert found.pairs.tolist() == [[one, other] for one, other in combinations(range(10), 2) if other - one <= 3]
    assert find_pairs(sign([[1, 2, 3]] * 4), 0.8).complete


def test_the_size_of_blocks_does_not_change_the_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    signatures = sign([[1, 2, 3]] * 20)
    whole = find_pairs(signatures, 0.8).pairs
    assert len(whole) == 190
    monkeypatch.setattr(minhash, "_PAIRS_PER_BLOCK", 7)
    assert (find_pairs(signatures, 0.8).pairs == whole).all()
