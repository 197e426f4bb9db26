from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from med42lib.core.errors import DataError
from med42lib.decontaminate.embedding.encoder import Encoder
from med42lib.decontaminate.embedding.shards import share_of
from med42lib.decontaminate.embedding.vectors import gather, write_shard
from med42lib.store.artifacts import Source, Sources

TEXTS = [f"What is fever number {number}, " + "and why " * number + "?" for number in range(9)]
Shards = Callable[..., dict[str, Source]]


@pytest.fixture
def shards(encoder: Path, tmp_path: Path) -> Shards:
    """Embed texts in a number of shards."""

    def run(count: int, texts: list[str] = TEXTS) -> Sources:
        sources = {}
        for shard in range(1, count + 1):
            folder = tmp_path / f"{shard}-of-{count}"
            folder.mkdir()
            own = [texts[row] for row in share_of(texts, shard=shard, shards=count)]
            own_TD = Encoder.load(encoder).embed(own) if own else np.empty((0, 0), np.float32)
            write_shard(folder, own_TD, texts, shard=shard, shards=count, encoder="e")
            sources[str(shard)] = Source(str(folder))
        return sources

    return run


@pytest.mark.parametrize("count", [1, 2, 3, 11])
def test_any_number_of_shards_gives_the_same_bits(encoder: Path, shards: Shards, count: int) -> None:
    alone_TD = Encoder.load(encoder).embed(TEXTS)

    together_TD = gather(TEXTS, shards(count), encoder="e")

    assert together_TD.tobytes() == alone_TD.tobytes()


def test_shards_write_the_same_bytes_each_time(shards: Shards, tmp_path: Path, encoder: Path) -> None:
    first = {name: source.digest for name, source in shards(2).items()}
    (tmp_path / "1-of-2").rename(tmp_path / "before")
    (tmp_path / "2-of-2").rename(tmp_path / "before2")
    assert {name: source.digest for name, source in shards(2).items()} == first


def test_vectors_of_other_questions_are_refused(shards: Shards) -> None:
    with pytest.raises(DataError, match="of-2 holds vectors of other questions, or of another encoder"):
        gather([*TEXTS, "What is new?"], shards(2), encoder="e")


def test_vectors_of_another_encoder_are_refused(shards: Shards) -> None:
    with pytest.raises(DataError, match="or of another encoder"):
        gather(TEXTS, shards(2), encoder="f")


def test_a_shard_that_is_missing_is_noticed(shards: Shards) -> None:
    given = shards(3)
    del given["2"]
    with pytest.raises(DataError, match=r"2 shards hold \d vectors of 9 questions; give each shard's once"):
        gather(TEXTS, given, encoder="e")


def test_a_shard_that_is_given_twice_is_noticed(shards: Shards) -> None:
    given = shards(2)
    with pytest.raises(DataError, match="give each shard's once"):
        gather(TEXTS, {**given, "3": given["1"]}, encoder="e")
