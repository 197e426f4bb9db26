import numpy as np
import pytest

from med42lib.decontaminate.embedding.shards import share_of

LENGTHS = np.random.default_rng(0).integers(1, 5_000, size=500)
TEXTS = ["x" * length for length in LENGTHS]


@pytest.mark.parametrize("shards", [1, 2, 3, 7, 501])
def test_every_text_is_one_shards_and_all_have_about_equal_work(shards: int) -> None:
    shares = [share_of(TEXTS, shard=number, shards=shards) for number in range(1, shards + 1)]
    assert sorted(np.concatenate(shares)) == list(range(500))
    work = [LENGTHS[share].sum() for share in shares]
    assert max(work) - min(work) < 5_000


def test_with_more_shards_than_texts_some_have_nothing_to_do() -> None:
    assert share_of(["a", "b"], shard=3, shards=3).tolist() == []
