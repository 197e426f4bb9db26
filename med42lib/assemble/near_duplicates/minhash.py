r"""Pairs of near-duplicates by MinHash, from texts to signatures and from signatures to pairs.

A text is taken as its set of three-word sequences (shingles), hashed a batch at a time:

    "Give aspirin, twice a day."  →  {give aspirin twice, aspirin twice a, twice a day}

Case and the punctuation around words do not count. A conversation of two words or fewer is one shingle. Each different
word of a batch is hashed once and all else is arithmetic on columns, since a million words come with every few thousand
rows. datasketch makes signatures of the sets, and bands of them find the pairs:

    signature of a row   3 7 1 | 9 2 4 | 8 8 5      rows that agree on a whole band are compared
    of another           3 7 1 | 9 6 4 | 8 0 5      the share of equal numbers, 7/9, estimates Jaccard's similarity

datasketch was chosen over rensa for its upkeep: it has been kept since 2015, and a signature's scheme has a name that a
new version cannot change; rensa is at 0.5, whose signatures differ from those of 0.4. The price is time: rensa signs
eight times as fast, and the whole would take a third (measured: 5,600 against 16,500 rows a second on one core). The
index is not datasketch's: its dictionaries of sets would take gigabytes for what sorted arrays do here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from string import punctuation

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasketch import MinHash
from numpy.typing import NDArray

NUM_WORDS = 3
"""Five are usual for web pages (Lee et al., ACL 2022); most rows here are far shorter, and one other word in a sentence
of twenty leaves half of its sequences of five, but two thirds of those of three."""

NUM_PERMUTATIONS = 128
"""The estimate's standard error is at most 0.044; at a similarity of 0.8 it is 0.035."""

MIN_RECALL = 0.99
"""Share of pairs at the threshold that some band must find."""

MAX_NEIGHBOURS = 256
"""Rows that a row is compared with in one band, so that a thousand rows of one template do not take a million
comparisons. Their cluster is found whole nevertheless."""

_AROUND_WORDS = punctuation + "‘’“”–—…"
_WORD_MULTIPLIERS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9))
_WORD_SHIFT = np.uint64(32)
_SHINGLES_PER_UPDATE = 16_384
_PAIRS_PER_BLOCK = 65_536
_MULTIPLIER, _SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(29)

Signatures = NDArray[np.uint32]
Pairs = NDArray[np.int64]
"""Two row numbers a line."""


@dataclass(frozen=True, slots=True)
class FoundPairs:
    """The similar pairs, one a row; `complete` unless `MAX_NEIGHBOURS` left some uncompared."""

    pairs: Pairs
    complete: bool


def shingles(texts: pa.StringArray) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Hash the shingles of each text.

    Returns:
        The hashes of all texts in their order, repeats included; and where each text's begin and end in them, one
        offset more than there are texts.
    """
    words = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(texts))
    encoded = words.values.dictionary_encode()
    hashes = np.array([_word_hash(word) for word in encoded.dictionary.to_pylist()], np.uint64)
    ends = words.offsets.to_numpy().astype(np.int64)
    return _joined(hashes[encoded.indices.to_numpy()], ends)


def _word_hash(word: str) -> int:
    plain = word.casefold().strip(_AROUND_WORDS)
    return int.from_bytes(hashlib.blake2b(plain.encode(), digest_size=8).digest(), "little")


def _joined(words: NDArray[np.uint64], offsets: NDArray[np.int64]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Combine each word's hash with those of the next two, within its text."""
    lengths = np.diff(offsets)
    row_ends = np.repeat(offsets[1:], lengths)
    places = np.arange(len(words))
    hashes = np.zeros(len(words), np.uint64)
    padded = np.concatenate([words, np.zeros(NUM_WORDS, np.uint64)])
    for step, multiplier in enumerate(_WORD_MULTIPLIERS):
        following = np.where(places + step < row_ends, padded[step : step + len(words)], np.uint64(0))
        hashes = (hashes ^ following) * multiplier
        hashes ^= hashes >> _WORD_SHIFT
    is_first = places == np.repeat(offsets[:-1], lengths)
    kept = (places + NUM_WORDS <= row_ends) | is_first
    counts = np.where(lengths > 0, np.maximum(lengths - NUM_WORDS + 1, 1), 0)
    return hashes[kept].astype(np.uint32), np.concatenate([[0], np.cumsum(counts)])


class Signer:
    """Turns sets of shingles into signatures."""

    def __init__(self) -> None:
        self._sketch = MinHash(NUM_PERMUTATIONS, seed=1, scheme="affine32", hashfunc=int)

    def sign(self, hashes: NDArray[np.uint32], offsets: NDArray[np.int64]) -> Signatures:
        """Sign the texts whose shingles stand between two offsets each."""
        signatures = np.empty((len(offsets) - 1, NUM_PERMUTATIONS), np.uint32)
        values: list[int] = hashes.tolist()
        for row, (start, end) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
            self._sketch.clear()
            for block in range(start, end, _SHINGLES_PER_UPDATE):
                self._sketch.update_batch(values[block : min(end, block + _SHINGLES_PER_UPDATE)])
            signatures[row] = self._sketch.hashvalues
        return signatures


def rows_per_band(threshold: float) -> int:
    """Choose the longest bands that still find `MIN_RECALL` of the pairs at the threshold."""
    recalls = {
        length: 1 - (1 - threshold**length) ** (NUM_PERMUTATIONS // length) for length in range(1, NUM_PERMUTATIONS)
    }
    return max(length for length, recall in recalls.items() if recall >= MIN_RECALL)


def find_pairs(signatures: Signatures, threshold: float) -> FoundPairs:
    """Find the pairs of rows whose estimated similarity is at least the threshold.

    Holds 8 bytes per row and band beside the signatures.
    """
    bands = _bands(signatures, rows_per_band(threshold))
    found, complete = [np.empty((0, 2), np.int64)], True
    for number, hashes in enumerate(bands):
        order = np.argsort(hashes, kind="stable")
        for pairs in _neighbours(order, hashes[order]):
            found += [_similar(signatures, bands[:number], block, threshold) for block in _blocks(pairs)]
        complete &= int(np.unique_counts(hashes).counts.max(initial=0)) <= MAX_NEIGHBOURS + 1
    pairs = np.sort(np.concatenate(found), axis=1)
    return FoundPairs(pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))], complete)


def _bands(signatures: Signatures, length: int) -> NDArray[np.uint64]:
    """Hash each band of each row to one number; bands by rows."""
    bands = np.zeros((NUM_PERMUTATIONS // length, len(signatures)), np.uint64)
    for number, hashes in enumerate(bands):
        for column in range(number * length, (number + 1) * length):
            hashes ^= signatures[:, column]
            hashes *= _MULTIPLIER
            hashes ^= hashes >> _SHIFT
    return bands


def _neighbours(order: Pairs, hashes: NDArray[np.uint64]) -> Iterator[Pairs]:
    """Pair each row with those after it that have the same hash; `hashes` are sorted, `order` says whose they are."""
    places = np.arange(len(hashes))
    for step in range(1, MAX_NEIGHBOURS + 1):
        places = places[places + step < len(hashes)]
        places = places[hashes[places] == hashes[places + step]]
        if not len(places):
            return
        yield np.stack([order[places], order[places + step]], axis=1)


def _blocks(pairs: Pairs) -> list[Pairs]:
    return np.array_split(pairs, range(_PAIRS_PER_BLOCK, len(pairs), _PAIRS_PER_BLOCK))


def _similar(signatures: Signatures, earlier: NDArray[np.uint64], pairs: Pairs, threshold: float) -> Pairs:
    """Keep the pairs that no earlier band has found, and that are similar by the whole of their signatures."""
    one, other = pairs[:, 0], pairs[:, 1]
    new = ~np.any(earlier[:, one] == earlier[:, other], axis=0)
    one, other = one[new], other[new]
    agreed = np.count_nonzero(signatures[one] == signatures[other], axis=1)
    similar: Pairs = pairs[new][agreed >= threshold * NUM_PERMUTATIONS]
    return similar
