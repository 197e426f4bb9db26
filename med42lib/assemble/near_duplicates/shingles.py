"""Conversations as sets of three-word sequences (shingles), hashed a batch at a time.

    "Give aspirin, twice a day."  →  {give aspirin twice, aspirin twice a, twice a day}

Case and the punctuation around words do not count. A conversation of two words or fewer is one shingle. Each different
word of a batch is hashed once and all else is arithmetic on columns, since a million words come with every few thousand
rows.
"""

from __future__ import annotations

import hashlib
from string import punctuation

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

NUM_WORDS = 3
"""Five are usual for web pages (Lee et al., ACL 2022); most rows here are far shorter, and one other word in a sentence
of twenty leaves half of its sequences of five, but two thirds of those of three."""

_AROUND_WORDS = punctuation + "‘’“”–—…"
_MULTIPLIERS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9))
_SHIFT = np.uint64(32)


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
    for step, multiplier in enumerate(_MULTIPLIERS):
        following = np.where(places + step < row_ends, padded[step : step + len(words)], np.uint64(0))
        hashes = (hashes ^ following) * multiplier
        hashes ^= hashes >> _SHIFT
    is_first = places == np.repeat(offsets[:-1], lengths)
    kept = (places + NUM_WORDS <= row_ends) | is_first
    counts = np.where(lengths > 0, np.maximum(lengths - NUM_WORDS + 1, 1), 0)
    return hashes[kept].astype(np.uint32), np.concatenate([[0], np.cumsum(counts)])
