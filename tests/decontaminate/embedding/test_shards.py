import numpy as np
import pytest

from med42lib.decontaminate.embedding.shards import PART_CHARACTERS, rows_of, share_of

LENGTHS = np.random.default_rng(0).integers(1, 5_000, size=500)
TEXTS = ["x" * length for length in LENGTHS]


@pytest.mark.parametrize("shards", [2, 3, 7, 100])
def test_shards_together_have_the_parts_that_one_would_have(shards: int) -> None:
    alone = {tuple(part) for part in share_of(TEXTS, shard=1, shards=1)}
    shares = [share_of(TEXTS, shard=number, shards=shards) for number in range(1, shards + 1)]
    assert {tuple(part) for share in shares for part in share} == alone
    assert sorted(np.concatenate([rows_of(share) for share in shares])) == list(range(500))


def test_parts_go_from_long_texts_to_short_ones_and_are_of_about_equal_work() -> None:
    parts = share_of(TEXTS, shard=1, shards=1)
    assert sorted(np.concatenate(parts), key=lambda row: -LENGTHS[row]) == list(np.concatenate(parts))
    work = [LENGTHS[part].sum() for part in parts[:-1]]
    assert all(abs(characters - PART_CHARACTERS) < 5_000 for characters in work)


def test_with_more_shards_than_parts_some_have_nothing_to_do() -> None:
    assert share_of(["a", "b"], shard=2, shards=2) == []
    assert rows_of([]).tolist() == []
