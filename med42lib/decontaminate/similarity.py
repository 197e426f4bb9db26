"""Cosine similarity between training questions and evaluation questions.

Shape key:
    N: training questions
    M: evaluation questions
    D: embedding dimensions
    B: training questions compared at a time
    V, W: windows of training and of evaluation questions; a question that the encoder reads whole is one window
    P: pairs
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from med42lib.core.progress import track

Floats32 = NDArray[np.float32]
Floats64 = NDArray[np.float64]
Rows = NDArray[np.intp]

# A float32 product of unit vectors is off by less than 1e-6 at D = 384, and a length by UNIT_TOLERANCE: every
# pair within this of mattering is computed again in float64.
RECHECK_MARGIN = 1e-4
UNIT_TOLERANCE = 1e-5
_PAIRS_PER_RECHECK = 1 << 16


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
class _Texts:
    """Questions as the vectors of their windows: those of question `n` begin at row `starts_N[n]`."""

    vectors_VD: Floats32
    starts_N: Rows
    ends_N: Rows

    @classmethod
    def of(cls, vectors_VD: Floats32, starts_N: Rows | None) -> _Texts:
        starts_N = np.arange(len(vectors_VD)) if starts_N is None else starts_N
        return cls(vectors_VD, starts_N, np.append(starts_N[1:], len(vectors_VD)))

    @property
    def cut(self) -> bool:
        return len(self.starts_N) < len(self.vectors_VD)

    def blocks(self, rows_per_block: int) -> list[slice]:
        """Split the questions into slices of at most that many windows, or one question."""
        first, found = 0, []
        while first < len(self.starts_N):
            reach = int(np.searchsorted(self.ends_N, self.starts_N[first] + rows_per_block, side="right"))
            found.append(slice(first, max(first + 1, reach)))
            first = found[-1].stop
        return found


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

    The (N, M) matrix of similarities is never held in memory, only `rows_per_block` of its rows:

        train     items ─►                   a float32 product selects, float64 decides:
        block 1 ─ ████████ ─ candidates ─►   above the threshold? then it is a pair
        block 2 ─ ████████ ─ candidates ─►   above the item's nearest so far? then it is the new nearest

    Candidates are the pairs that are, but for rounding, above the threshold or nearest; their similarity is
    computed again in float64. So neither the size of a block nor the BLAS library decides.

    The similarity of two questions in windows is that of the item's window that is found worst: its smallest of the
    largest to any of the training question's windows.

    Args:
        train_VD: Unit-length embeddings of the training questions' windows.
        items_WD: Unit-length embeddings of the evaluation questions' windows.
        threshold: In (0, 1); a pair at exactly the threshold is not above it.
        rows_per_block: Training windows compared at a time; bounds memory at about `5 * rows_per_block * W`
            bytes besides the pairs found, and does not change the result.
        train_starts_N: The first window of each training question; with none each window is a question.
        item_starts_M: The same of the evaluation questions.

    Returns:
        Similarities in [-1, 1]. A nearest question is the lowest row among equals.

    Raises:
        ValueError: If there is nothing to compare, the arrays differ in D, or a row is not of unit length.
    """
    _check_comparable(train_VD, items_WD)
    train, items = _Texts.of(train_VD, train_starts_N), _Texts.of(items_WD, item_starts_M)
    nearest_train_M = np.zeros(len(items.starts_N), np.intp)
    nearest_cosine_M = np.full(len(items.starts_N), -np.inf)
    found: list[tuple[Rows, Rows, Floats64]] = []
    blocks = train.blocks(rows_per_block)
    for block in track(blocks, "compare", total=len(blocks), unit="blocks"):
        product_BM = _product(train, items, block)
        floor_M = np.minimum(np.maximum(nearest_cosine_M, product_BM.max(axis=0)), threshold) - RECHECK_MARGIN
        train_P, item_P = np.nonzero(product_BM >= floor_M.astype(np.float32))
        train_P += block.start
        cosine_P = _exact(train, items, train_P, item_P)
        _keep_nearest(nearest_train_M, nearest_cosine_M, train_P, item_P, cosine_P)
        above = cosine_P > threshold
        found.append((train_P[above], item_P[above], cosine_P[above]))
    pairs = _sorted(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
    return Comparison(*pairs, nearest_train_M, nearest_cosine_M)


def _product(train: _Texts, items: _Texts, block: slice) -> Floats32:
    """Compare a block of training questions with all items, in float32."""
    starts_B, ends_B = train.starts_N[block], train.ends_N[block]
    product: Floats32 = train.vectors_VD[starts_B[0] : ends_B[-1]] @ items.vectors_VD.T
    if len(product) > len(starts_B):
        product = np.maximum.reduceat(product, starts_B - starts_B[0], axis=0)
    return np.minimum.reduceat(product, items.starts_N, axis=1) if items.cut else product


def _exact(train: _Texts, items: _Texts, train_P: Rows, item_P: Rows) -> Floats64:
    """Compute the similarity of chosen pairs of questions in float64.

    A pair whose item has windows x, y and whose training question has a, b, c is spelled out as

        group     (x) ─────────  (y) ─────────
        windows   xa   xb   xc   ya   yb   yc      the largest of each group, and of these the smallest
    """
    if not (train.cut or items.cut) or not len(train_P):
        return exact_cosines(train.vectors_VD, items.vectors_VD, train_P, item_P)
    num_groups_P = (items.ends_N - items.starts_N)[item_P]
    train_G = np.repeat(train_P, num_groups_P)
    windows_G = _ranges(items.starts_N[item_P], num_groups_P)
    num_windows_G = (train.ends_N - train.starts_N)[train_G]
    cosines = exact_cosines(
        train.vectors_VD,
        items.vectors_VD,
        _ranges(train.starts_N[train_G], num_windows_G),
        np.repeat(windows_G, num_windows_G),
    )
    largest_G = np.maximum.reduceat(cosines, np.cumsum(num_windows_G) - num_windows_G)
    smallest_P: Floats64 = np.minimum.reduceat(largest_G, np.cumsum(num_groups_P) - num_groups_P)
    return smallest_P


def _ranges(starts: Rows, counts: Rows) -> Rows:
    """Count from each start: 5 and 2 with counts of 3 and 2 are 5, 6, 7, 2, 3."""
    before = np.cumsum(counts) - counts
    numbered: Rows = np.repeat(starts - before, counts) + np.arange(int(counts.sum()))
    return numbered


def exact_cosines(train_ND: Floats32, items_MD: Floats32, train_P: Rows, item_P: Rows) -> Floats64:
    """Compute the similarity of chosen pairs in float64, holding few of them in memory at a time."""
    cosine_P = np.empty(len(train_P))
    for start in range(0, len(train_P), _PAIRS_PER_RECHECK):
        part = slice(start, start + _PAIRS_PER_RECHECK)
        train_PD = train_ND[train_P[part]].astype(np.float64)
        item_PD = items_MD[item_P[part]].astype(np.float64)
        lengths_P = np.linalg.norm(train_PD, axis=1) * np.linalg.norm(item_PD, axis=1)
        cosine_P[part] = (train_PD * item_PD).sum(axis=1) / lengths_P
    return np.clip(cosine_P, -1.0, 1.0)


def _keep_nearest(
    nearest_train_M: Rows,
    nearest_cosine_M: Floats64,
    train_P: Rows,
    item_P: Rows,
    cosine_P: Floats64,
) -> None:
    """Put each item's best candidate in place of its nearest so far, if it is more similar."""
    train_P, item_P, cosine_P = _sorted(train_P, item_P, cosine_P)
    first = np.unique(item_P, return_index=True)[1]
    better = first[cosine_P[first] > nearest_cosine_M[item_P[first]]]
    nearest_train_M[item_P[better]] = train_P[better]
    nearest_cosine_M[item_P[better]] = cosine_P[better]


def _sorted(train_P: Rows, item_P: Rows, cosine_P: Floats64) -> tuple[Rows, Rows, Floats64]:
    order = np.lexsort((train_P, -cosine_P, item_P))
    return train_P[order], item_P[order], cosine_P[order]


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
