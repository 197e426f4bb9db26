"""Which questions belong together, so that their answers are not independent draws.

Shape key:
    N: items
    W: different words
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from med42lib.formats.records import BenchmarkItem

NEAR_DUPLICATE = 0.6
"""Cosine of two questions' words, rarer ones weighing more, from which on they are near-duplicates: of 9,682 questions
of the paper's benchmarks, 440 are then joined to others, the largest cluster has 8."""
_COMMON = 0.02  # words of a larger share of questions make no two of them alike
_WORDS = re.compile(r"\w+")


def cluster(items: Sequence[BenchmarkItem], matched: Mapping[str, str]) -> NDArray[np.int64]:
    """Number the clusters of N items from 0: items joined by any of these, or through others, are in one.

    The same context (PubMedQA's abstract); the same training example that leaked items match; near-duplicates. Memory
    is that of all pairs of questions which share a rare word.

    Args:
        items: In the order of the result.
        matched: The training example that a leaked item matches best, by the item's id.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    joined = [
        *_equal([item.context for item in items]),
        *_equal([matched.get(item.id, "") for item in items]),
        *_near_duplicates([item.question for item in items]),
    ]
    first, second = np.array(joined, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(len(items), len(items)))
    clusters: NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return clusters


def _equal(keys: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Join each position to the first with the same key; an empty one is no key."""
    first: dict[str, int] = {}
    for position, key in enumerate(keys):
        if key:
            yield first.setdefault(key, position), position


def _near_duplicates(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Join texts by the cosine of their words, each weighing the logarithm of how rare it is (TF-IDF)."""
    from scipy.sparse import coo_array

    words = [sorted({word.casefold() for word in _WORDS.findall(text)}) for text in texts]
    numbers: dict[str, int] = {}
    columns = np.array([numbers.setdefault(word, len(numbers)) for said in words for word in said], dtype=np.int64)
    rows = np.repeat(np.arange(len(words)), [len(said) for said in words])
    num_texts_W = np.bincount(columns, minlength=len(numbers))
    weights = np.log1p(len(texts) / num_texts_W)[columns]
    lengths_N = np.sqrt(np.bincount(rows, weights=weights**2, minlength=len(texts)))
    rare = num_texts_W[columns] <= max(2, _COMMON * len(texts))
    shape = (len(texts), len(numbers))
    of_rare = coo_array((weights[rare] / lengths_N[rows[rare]], (rows[rare], columns[rare])), shape=shape).tocsr()
    cosines = (of_rare @ of_rare.T).tocoo()
    near = (cosines.data >= NEAR_DUPLICATE) & (cosines.row < cosines.col)
    yield from zip(cosines.row[near].tolist(), cosines.col[near].tolist(), strict=True)
