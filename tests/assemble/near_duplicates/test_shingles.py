from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from med42lib.assemble.near_duplicates.shingles import shingles

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
