"""An upper bound of cosine similarity that costs a fraction of the product of all pairs.

Along the axes in which evaluation questions differ most lies nearly all of a vector. Split after the first K of them, x
into x₁ and a rest x₂, and y alike:

    x·y  =  x₁·y₁ + x₂·y₂  ≤  x₁·y₁ + |x₂||y₂|      a product of K + 1 columns instead of D

A pair whose bound is below what matters need not be looked at again. With MiniLM's 384 dimensions, 95 axes leave less
than one pair in a thousand. Vectors here are single windows: of an evaluation question its first.

Shape key, beside that of `similarity`:
    K: axes of a bound
    C: its columns, K + 1
    S: training windows of a sample
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats32 = NDArray[np.float32]
Floats64 = NDArray[np.float64]

# Vectors have unit length but for 1e-5, and the square of a rest is a difference of such lengths in float32.
_SQUARE_MARGIN = 1e-4
PAIRS_WORTH_AXES = 1 << 23
_SAMPLE = 32
_COLUMNS_APART = 16
_COLUMNS_PER_RECHECK = 40_000
"""What looking at a pair again costs, 0.6 µs, told in columns of the product: it waits for memory."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The first axes, and what the evaluation questions have along them."""

    axes_DK: Floats32
    items_MC: Floats32

    def product(self, train_BD: Floats32, out_BM: Floats32) -> Floats32:
        """Bound the similarity of training windows to all evaluation questions from above.

        Never below it by more than a product in float32 is off.
        """
        train_BC = _with_rest(train_BD @ self.axes_DK)
        return np.matmul(train_BC, self.items_MC.T, out=out_BM)


@dataclass(frozen=True, slots=True)
class Axes:
    """Orthonormal axes, as columns; what evaluation questions, and a sample of training windows, have along them."""

    axes_DD: Floats32
    items_MD: Floats32
    sample_SD: Floats32

    @classmethod
    def of(cls, train_VD: Floats32, items_MD: Floats32) -> Axes:
        """Find the axes, from that along which evaluation questions are longest down; for few pairs any axes do."""
        axes_DD = np.eye(items_MD.shape[1], dtype=np.float32)
        if len(train_VD) * len(items_MD) >= PAIRS_WORTH_AXES:
            gram_DD = (items_MD.T @ items_MD).astype(np.float64)
            axes_DD = np.ascontiguousarray(np.linalg.eigh(gram_DD)[1][:, ::-1], np.float32)
        return cls(axes_DD, items_MD @ axes_DD, train_VD[:: max(1, len(train_VD) // _SAMPLE)] @ axes_DD)

    def cheapest(self, floor_M: Floats64) -> Bound:
        """Choose how many axes: fewer make the product cheaper, but leave more pairs to look at again.

        Args:
            floor_M: What a pair's similarity must reach to matter, by its evaluation question.
        """
        num_dimensions = len(self.axes_DD)
        best, lowest = num_dimensions, float("inf")
        for num_axes in range(max(1, num_dimensions // 8 - 1), num_dimensions // 2, _COLUMNS_APART):
            cost = self._cost(num_axes, floor_M)
            if cost >= lowest:
                break
            best, lowest = num_axes, cost
        best = best if lowest < num_dimensions else num_dimensions
        return Bound(np.ascontiguousarray(self.axes_DD[:, :best]), _with_rest(self.items_MD[:, :best]))

    def _cost(self, num_axes: int, floor_M: Floats64) -> float:
        """Estimate the work for a training window and an evaluation question, in columns of the product."""
        bound_SM = _with_rest(self.sample_SD[:, :num_axes]) @ _with_rest(self.items_MD[:, :num_axes]).T
        left = float(np.mean(bound_SM >= floor_M.astype(np.float32)))
        return num_axes + 1 + left * _COLUMNS_PER_RECHECK


def _with_rest(along_XK: Floats32) -> Floats32:
    """Put the length of the rest beside what unit vectors have along the first axes, shape (X, C)."""
    rest_X = np.sqrt(np.maximum(1 - np.einsum("xk,xk->x", along_XK, along_XK), 0) + _SQUARE_MARGIN)
    return np.concatenate([along_XK, rest_X[:, None]], axis=1)
