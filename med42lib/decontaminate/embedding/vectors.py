"""The vectors of texts, and the files in which a shard hands its own over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from med42lib.core.errors import DataError
from med42lib.core.hashing import content_hash
from med42lib.core.json_file import read_json, write_json
from med42lib.decontaminate.embedding.shards import Rows, share_of
from med42lib.store.artifacts import Source, Sources

SHARD_FILE, VECTORS_FILE = "shard.json", "vectors.npy"
_ADVICE = "give an output of embed_questions"


def write_shard(
    folder: Path, own_TD: NDArray[np.float32], texts: Sequence[str], *, shard: int, shards: int, encoder: str
) -> None:
    """Write one shard's vectors, and what they are of.

    Args:
        folder: Receives the files.
        own_TD: Of its share, in the order of `texts`.
        texts: Those of all shards.
        shard: Which shard it is, from 1.
        shards: How many there are.
        encoder: Digest of the encoder.
    """
    rows = share_of(texts, shard=shard, shards=shards)
    of = _name(texts, rows, encoder)
    np.save(folder / VECTORS_FILE, own_TD, allow_pickle=False)
    write_json(folder / SHARD_FILE, {"shard": shard, "shards": shards, "of": of})


def gather(texts: Sequence[str], shards: Sources, *, encoder: str) -> NDArray[np.float32]:
    """Put together what shards have embedded, in the order of `texts`.

    Args:
        texts: Those of all shards.
        shards: The shards' outputs.
        encoder: Digest of the encoder.

    Raises:
        DataError: If a shard embedded other texts or with another encoder, or they are not all there, each once.
    """
    read = (_read_shard(source, texts, encoder) for source in shards.values())
    found = [(rows, own_TD) for rows, own_TD in read if len(rows)]
    rows_T = np.concatenate([rows for rows, _ in found])
    if not np.array_equal(np.sort(rows_T), np.arange(len(texts))):
        raise DataError(
            f"{len(shards)} shards hold {len(rows_T):,} vectors of {len(texts):,} questions; give each shard's once"
        )
    return put_together(found, len(texts))


def put_together(parts: Iterable[tuple[Rows, NDArray[np.float32]]], num_texts: int) -> NDArray[np.float32]:
    """Put vectors in the order of texts, given in parts: the rows of some texts, and their vectors.

    Returns:
        Shape (T, D); (0, 0) of no texts.
    """
    vectors_TD = np.empty((0, 0), np.float32)
    for rows, own_TD in parts:
        if not vectors_TD.size:
            vectors_TD = np.empty((num_texts, own_TD.shape[1]), np.float32)
        vectors_TD[rows] = own_TD
    return vectors_TD


def _read_shard(source: Source, texts: Sequence[str], encoder: str) -> tuple[Rows, NDArray[np.float32]]:
    record = read_json(source.path(SHARD_FILE), _ADVICE)
    rows = share_of(texts, shard=record["shard"], shards=record["shards"])
    if record["of"] != _name(texts, rows, encoder):
        raise DataError(
            f"{source.address} holds vectors of other questions, or of another encoder; embed with the same inputs"
        )
    return rows, np.load(source.path(VECTORS_FILE), mmap_mode="r")


def _name(texts: Sequence[str], rows: Rows, encoder: str) -> str:
    return content_hash(encoder, *(texts[row] for row in rows))
