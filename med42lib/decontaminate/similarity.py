"""Cosine similarity between training questions and evaluation questions.

The (N, M) matrix of similarities is never held in memory, only a block of its rows for each core:

    train     items ─►                   a bound in float32 selects, float64 decides:
    block 1 ─ ████████ ─ candidates ─►   above the threshold? then it is a pair
    block 2 ─ ████████ ─ candidates ─►   above the item's nearest so far? then it is the new nearest

Candidates are the pairs that may, by an upper bound (`bound`), be above the threshold or nearest; their similarity is
computed again in float64. So neither the size of a block nor the bound, the cores or the BLAS library decide.

Shape key:
    N: training questions
    M: evaluation questions
    D: embedding dimensions
    B: training questions compared at a time
    V, W: windows of training and of evaluation questions; a question that the encoder reads whole is one window
    P: pairs
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from med42lib.core.progress import track
from med42lib.decontaminate.bound import Axes, Bound
from med42lib.decontaminate.cores import in_cores
from med42lib.decontaminate.questions_in_windows import (
    Floats32,
    Floats64,
    Rows,
    Texts,
    about,
    exact,
    of_pairs,
    product,
)

# A float32 product of unit vectors is off by less than 1e-6 at D = 384, and a length by UNIT_TOLERANCE: every
# pair within this of mattering is computed again in float64.
RECHECK_MARGIN = 1e-4
UNIT_TOLERANCE = 1e-5
_FEW = 2048
_FIRST_CHOICE = 8


@dataclass(frozen=True, slots=True)
class Comparison:
    """Every pair above the threshold, and every evaluation question's nearest training question.

    Pairs are sorted by evaluation question, then from the most similar down; ties go to the lower training row.
    """

    pair_train_P: Rows
    pair_item_P: Rows
    pair_cosine_P: Floats64
    nearest_train_M: Rows
    nearest_cosine_M: Floats64


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Pairs of questions and their similarity."""

    train_P: Rows
    item_P: Rows
    cosine_P: Floats64

    def where(self, chosen_P: NDArray[np.bool_]) -> _Pairs:
        return _Pairs(self.train_P[chosen_P], self.item_P[chosen_P], self.cosine_P[chosen_P])

    def sorted(self) -> _Pairs:
        order = np.lexsort((self.train_P, -self.cosine_P, self.item_P))
        return _Pairs(self.train_P[order], self.item_P[order], self.cosine_P[order])

    @classmethod
    def together(cls, parts: Sequence[_Pairs]) -> _Pairs:
        columns = zip(*((part.train_P, part.item_P, part.cosine_P) for part in parts), strict=True)
        return cls(*(np.concatenate(column) for column in columns))


def compare(
    train_VD: Floats32,
    items_WD: Floats32,
    *,
    threshold: float,
    rows_per_block: int,
    train_starts_N: Rows | None = None,
    item_starts_M: Rows | None = None,
) -> Comparison:
    """Find all pairs whose cosine similarity exceeds the threshold, and each item's nearest training question.

    Args:
        train_VD: Unit-length embeddings of the training questions' windows.
        items_WD: Unit-length embeddings of the evaluation questions' windows.
        threshold: In (0, 1); a pair at exactly the threshold is not above it.
        rows_per_block: Training windows compared at a time; bounds memory at about `5 * rows_per_block * W`
            bytes for each core besides the pairs found, and does not change the result.
        train_starts_N: The first window of each training question; with none each window is a question.
        item_starts_M: The same of the evaluation questions.

    Returns:
        Similarities in [-1, 1]. A nearest question is the lowest row among equals.

    Raises:
        ValueError: If there is nothing to compare, the arrays differ in D, or a row is not of unit length.
    """
    _check_comparable(train_VD, items_WD)
    train, items = Texts.of(train_VD, train_starts_N), Texts.of(items_WD, item_starts_M)
    search = _Search.begin(train, items, threshold, rows_per_block)
    pairs = _Pairs.together(list(search.pairs(train.blocks(rows_per_block)))).sorted()
    return Comparison(pairs.train_P, pairs.item_P, pairs.cosine_P, search.nearest_train_M, search.nearest_cosine_M)


class _Space(threading.local):
    """Memory of each thread for one block after the other: new memory would take as long as the product."""

    def __init__(self, num_rows: int, num_columns: int) -> None:
        self._floats = np.empty((num_rows, num_columns), np.float32)
        self._flags = np.empty((num_rows, num_columns), np.bool_)

    def rows(self, number: int) -> tuple[Floats32, NDArray[np.bool_]]:
        """Give memory for so many rows; a single question may have more windows than a block."""
        if number > len(self._floats):
            self.__init__(number, self._floats.shape[1])  # type: ignore[misc]
        return self._floats[:number], self._flags[:number]


@dataclass(slots=True)
class _Search:
    """What is compared, and each item's nearest training question so far.

    `floor_M` is what a pair's similarity must reach to matter: the threshold or, of an item without a pair, what is
    known of its nearest. Blocks are looked at side by side, each with the floor and the bound of the moment: old ones
    only leave more candidates.
    """

    train: Texts
    items: Texts
    threshold: float
    floor_M: Floats64
    nearest_train_M: Rows
    nearest_cosine_M: Floats64
    axes: Axes
    bound: Bound
    space: _Space

    @classmethod
    def begin(cls, train: Texts, items: Texts, threshold: float, rows_per_block: int) -> _Search:
        # An item's nearest is no farther than the nearest of a few.
        nearest_of_few_M = product(train.few(_FEW), items).max(axis=0).astype(np.float64) - RECHECK_MARGIN
        floor_M = np.minimum(nearest_of_few_M, threshold) - RECHECK_MARGIN
        nearest = np.zeros(len(floor_M), np.intp), np.full(len(floor_M), -np.inf)
        axes = Axes.of(train.vectors_VD, items.first_windows())
        space = _Space(min(rows_per_block, len(train.vectors_VD)), len(floor_M))
        return cls(train, items, threshold, floor_M, *nearest, axes, axes.cheapest(floor_M), space)

    def pairs(self, blocks: Sequence[slice]) -> Iterator[_Pairs]:
        """Give each block's pairs above the threshold, and take note of nearest ones."""
        results = track(in_cores(self.candidates, blocks), "compare", total=len(blocks), unit="blocks")
        for number, candidates in enumerate(results, 1):
            self.keep_nearest(candidates)
            yield candidates.where(candidates.cosine_P > self.threshold)
            if number >= _FIRST_CHOICE and number.bit_count() == 1:  # floors rise with the logarithm of what was seen
                self.bound = self.axes.cheapest(self.floor_M)

    def candidates(self, block: slice) -> _Pairs:
        """Compute the similarity of those pairs of a block that may matter.

        They are among those in which a window of the training question is like the item's first: this one is found.
        """
        train_P, item_P = self._perhaps(block)
        for cosines in (about, exact):
            cosine_P = of_pairs(cosines, self.train, self.items, train_P, item_P)
            matters_P = cosine_P >= self.floor_M[item_P]
            train_P, item_P, cosine_P = train_P[matters_P], item_P[matters_P], cosine_P[matters_P]
        return _Pairs(train_P, item_P, cosine_P)

    def _perhaps(self, block: slice) -> tuple[Rows, Rows]:
        """List the pairs of a block whose bound is not below the floor."""
        starts_B, ends_B = self.train.starts_N[block], self.train.ends_N[block]
        vectors_BD = self.train.vectors_VD[starts_B[0] : ends_B[-1]]
        bound_BM, matters_BM = self.space.rows(len(vectors_BD))
        self.bound.product(vectors_BD, bound_BM)
        np.greater_equal(bound_BM, self.floor_M.astype(np.float32), out=matters_BM)
        window_P, item_P = np.divmod(np.flatnonzero(matters_BM), len(self.floor_M))
        train_P = block.start + window_P
        if self.train.cut:
            train_P = np.searchsorted(self.train.starts_N, starts_B[0] + window_P, side="right") - 1
            train_P, item_P = np.divmod(np.unique(train_P * len(self.floor_M) + item_P), len(self.floor_M))
        return train_P, item_P

    def keep_nearest(self, candidates: _Pairs) -> None:
        """Put each item's best candidate in place of its nearest so far, if it is more similar."""
        best = candidates.sorted()
        first = np.unique(best.item_P, return_index=True)[1]
        better = first[best.cosine_P[first] > self.nearest_cosine_M[best.item_P[first]]]
        items = best.item_P[better]
        self.nearest_train_M[items] = best.train_P[better]
        self.nearest_cosine_M[items] = best.cosine_P[better]
        known_M = np.minimum(self.nearest_cosine_M[items], self.threshold) - RECHECK_MARGIN
        self.floor_M[items] = np.maximum(self.floor_M[items], known_M)


def _check_comparable(train_VD: Floats32, items_WD: Floats32) -> None:
    for name, vectors in (("train_VD", train_VD), ("items_WD", items_WD)):
        if vectors.ndim != 2 or not len(vectors):
            raise ValueError(f"{name} has shape {vectors.shape}, expected one row or more of embeddings")
        lengths = np.linalg.norm(vectors, axis=1)
        wrong = np.flatnonzero(~(np.abs(lengths - 1) <= UNIT_TOLERANCE))
        if len(wrong):
            raise ValueError(f"{name}[{wrong[0]}] has length {lengths[wrong[0]]:.3f}, expected 1; normalise it first")
    if train_VD.shape[1] != items_WD.shape[1]:
        raise ValueError(f"train_VD has {train_VD.shape[1]} dimensions but items_WD has {items_WD.shape[1]}")
