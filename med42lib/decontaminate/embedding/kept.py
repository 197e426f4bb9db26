"""Embeddings kept between runs by their texts' content: a run embeds only what none before it has.

They lie in the store in a cache that decontaminate and its shards share, in parts of at most 16,384 texts:

    .cache/embeddings/<arithmetic>-<texts>/    vectors.npy    float32, shape (T, D)
                                               texts.npy      SHA-256 of each text, shape (T, 32)

The name before the dash is made of all that decides a vector beside its text: the encoder's files (weights, tokenizer,
how much it reads), the libraries and the kind of machine. A vector depends on nothing else (`encoder`), so what is
found here is to the bit what would be computed. The name behind the dash is made of the texts: of two runs that keep
the same part one counts, and parts that overlap do no harm. A damaged part is removed and its texts are embedded again.
A run that is killed has kept all parts but the one it was at.

A text of 384 dimensions takes 1.6 kB, the paper's 717,150 questions 1.1 GB, and all together at most `MOST_BYTES`:
beyond that, the oldest parts go that the run has no use for, and if that does not suffice it keeps no more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from med42lib.core.errors import DataError, StoreError
from med42lib.core.hashing import content_hash
from med42lib.core.log import log
from med42lib.core.progress import progress
from med42lib.decontaminate.embedding.encoder import Encoder, arithmetic
from med42lib.decontaminate.embedding.shards import Rows
from med42lib.decontaminate.embedding.vectors import VECTORS_FILE, put_together
from med42lib.store.artifacts import Source
from med42lib.store.cache import StageCache

Vectors = NDArray[np.float32]

MOST_BYTES = 8 << 30
CACHE = "embeddings"
TEXTS_FILE = "texts.npy"
TEXTS_PER_PART = 16_384
_LAYOUT = "1"


def embed_new(texts: Sequence[str], encoder: Source, cache: StageCache) -> Vectors:
    """Embed texts, but take the vectors of those that were embedded before from the cache.

    Args:
        texts: Each once.
        encoder: Folder of a SentenceTransformers model; it is loaded only if there is something to embed.
        cache: A stage's.

    Returns:
        Unit-length vectors, shape (T, D), to the bit the same with and without the cache; (0, 0) of no texts.

    Raises:
        DataError: If the encoder cannot be loaded.
    """
    kept = KeptEmbeddings(cache, content_hash(_LAYOUT, encoder.digest, *arithmetic()))
    return put_together(_parts(texts, encoder, kept), len(texts))


def _parts(texts: Sequence[str], encoder: Source, kept: KeptEmbeddings) -> Iterator[tuple[Rows, Vectors]]:
    is_new = np.ones(len(texts), bool)
    for rows, found_TD in kept.find(texts):
        is_new[rows] = False
        yield rows, found_TD
    new = np.flatnonzero(is_new)
    log("embed").info("%s texts to embed, %s embedded before", f"{len(new):,}", f"{len(texts) - len(new):,}")
    if len(new):
        yield from _embedded(texts, new, Encoder.load(encoder.path()), kept)


def _embedded(texts: Sequence[str], new: Rows, model: Encoder, kept: KeptEmbeddings) -> Iterator[tuple[Rows, Vectors]]:
    """Embed texts by their rows, the longest first, and keep each part as soon as it is done."""
    longest_first = new[np.argsort([-len(texts[row]) for row in new.tolist()], kind="stable")]
    with progress("embed", len(new), unit="questions") as bar:
        for start in range(0, len(new), TEXTS_PER_PART):
            rows = longest_first[start : start + TEXTS_PER_PART]
            part = [texts[row] for row in rows.tolist()]
            own_TD = model.embed(part, bar.advance)
            kept.keep(part, own_TD)
            yield rows, own_TD


class KeptEmbeddings:
    """The vectors of one encoder and kind of machine, by `name`."""

    def __init__(self, cache: StageCache, name: str) -> None:
        self._cache, self._name = cache.shared(CACHE), name
        self._used: set[str] = set()

    def find(self, texts: Sequence[str]) -> Iterator[tuple[Rows, Vectors]]:
        """Give the texts whose vectors are kept, by their rows, and these; damaged parts are removed."""
        rows_of = {_name_of(text): row for row, text in enumerate(texts)}
        for key in [key for key in self._cache.parts() if key.startswith(f"{self._name}-")]:
            try:
                rows, vectors_TD = self._read(key, rows_of)
            except (DataError, StoreError) as error:
                log("embed").warning("embeddings kept by an earlier run are made again: %s", error)
                self._cache.forget(key)
                continue
            if len(rows):
                self._used.add(key)
                yield rows, vectors_TD

    def keep(self, texts: Sequence[str], vectors_TD: Vectors) -> None:
        """Keep the vectors of texts, unless there is no room."""
        names = [_name_of(text) for text in texts]
        key = f"{self._name}-{content_hash(*sorted(name.hex() for name in names))}"
        if not self._cache.make_room(vectors_TD.nbytes + sum(map(len, names)), MOST_BYTES, used=self._used):
            return
        folder = self._cache.scratch(key)
        np.save(folder / VECTORS_FILE, vectors_TD, allow_pickle=False)
        np.save(folder / TEXTS_FILE, np.frombuffer(b"".join(names), np.uint8).reshape(len(names), -1))
        self._cache.keep(key)
        self._used.add(key)

    def _read(self, key: str, rows_of: Mapping[bytes, int]) -> tuple[Rows, Vectors]:
        """Find the texts that a part has; its vectors are read, and fetched, only if there are any."""
        part = self._cache.open(key)
        if part is None:
            return np.empty(0, np.intp), np.empty((0, 0), np.float32)
        names = np.load(part.path(TEXTS_FILE), allow_pickle=False)
        rows = np.array([rows_of.get(name.tobytes(), -1) for name in names], np.intp)
        if (rows < 0).all():
            return np.empty(0, np.intp), np.empty((0, 0), np.float32)
        vectors_TD = np.load(part.path(VECTORS_FILE), mmap_mode="r", allow_pickle=False)
        return rows[rows >= 0], vectors_TD[rows >= 0]


def _name_of(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
