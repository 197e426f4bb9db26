"""Cosine similarity between training questions and evaluation questions.

Shape key:
    N: training questions
    M: evaluation questions
    D: embedding dimensions
    B: training questions compared at a time
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


def compare(train_ND: Floats32, items_MD: Floats32, *, threshold: float, rows_per_block: int) -> Comparison:
    """Find all pairs whose cosine similarity exceeds the threshold, and each item's nearest training question.

    The (N, M) matrix of similarities is never held in memory, only `rows_per_block` of its rows:

        train     items ─►                   a float32 product selects, float64 decides:
        block 1 ─ ████████ ─ candidates ─►   above the threshold? then it is a pair
        block 2 ─ ████████ ─ candidates ─►   above the item's nearest so far? then it is the new nearest

    Candidates are the pairs that are, but for rounding, above the threshold or nearest; their similarity is
    computed again in float64. So neither the size of a block nor the BLAS library decides.

    Args:
        train_ND: Unit-length embeddings of the training questions.
        items_MD: Unit-length embeddings of the evaluation questions.
        threshold: In (0, 1); a pair at exactly the threshold is not above it.
        rows_per_block: Training questions compared at a time; bounds memory at about `5 * rows_per_block * M`
            bytes besides the pairs found, and does not change the result.

    Returns:
        Similarities in [-1, 1]. A nearest question is the lowest row among equals.

    Raises:
        ValueError: If there is nothing to compare, the arrays differ in D, or a row is not of unit length.
    """
    _check_comparable(train_ND, items_MD)
    nearest_train_M = np.zeros(len(items_MD), np.intp)
    nearest_cosine_M = np.full(len(items_MD), -np.inf)
    found: list[tuple[Rows, Rows, Floats64]] = []
    starts = range(0, len(train_ND), rows_per_block)
    for start in track(starts, "compare", total=len(starts), unit="blocks"):
        product_BM = train_ND[start : start + rows_per_block] @ items_MD.T
        floor_M = np.minimum(np.maximum(nearest_cosine_M, product_BM.max(axis=0)), threshold) - RECHECK_MARGIN
        train_P, item_P = np.nonzero(product_BM >= floor_M.astype(np.float32))
        train_P += start
        cosine_P = exact_cosines(train_ND, items_MD, train_P, item_P)
        _keep_nearest(nearest_train_M, nearest_cosine_M, train_P, item_P, cosine_P)
        above = cosine_P > threshold
        found.append((train_P[above], item_P[above], cosine_P[above]))
    pairs = _sorted(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
    return Comparison(*pairs, nearest_train_M, nearest_cosine_M)


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


def _check_comparable(train_ND: Floats32, items_MD: Floats32) -> None:
    for name, vectors in (("train_ND", train_ND), ("items_MD", items_MD)):
        if vectors.ndim != 2 or not len(vectors):
            raise ValueError(f"{name} has shape {vectors.shape}, expected one row or more of embeddings")
        lengths = np.linalg.norm(vectors, axis=1)
        wrong = np.flatnonzero(~(np.abs(lengths - 1) <= UNIT_TOLERANCE))
        if len(wrong):
            raise ValueError(f"{name}[{wrong[0]}] has length {lengths[wrong[0]]:.3f}, expected 1; normalise it first")
    if train_ND.shape[1] != items_MD.shape[1]:
        raise ValueError(f"train_ND has {train_ND.shape[1]} dimensions but items_MD has {items_MD.shape[1]}")
