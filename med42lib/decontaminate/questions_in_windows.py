"""Questions as the vectors of their windows, and the similarity of chosen pairs of them.

The similarity of two questions is that of the evaluation question's window that is found worst: its smallest of the
largest to any of the training question's windows. A question that the encoder reads whole is one window.

Shape key: as in `similarity`, and
    G: windows of evaluation questions, for each pair
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats32 = NDArray[np.float32]
Floats64 = NDArray[np.float64]
Rows = NDArray[np.intp]
Cosines = Callable[[Floats32, Floats32, Rows, Rows], Floats64]

_PAIRS_AT_A_TIME = 1 << 12


@dataclass(frozen=True, slots=True)
class Texts:
    """Questions as the vectors of their windows: those of question `n` begin at row `starts_N[n]`."""

    vectors_VD: Floats32
    starts_N: Rows
    ends_N: Rows

    @classmethod
    def of(cls, vectors_VD: Floats32, starts_N: Rows | None) -> Texts:
        """Put windows together to questions; with no `starts_N` each is one."""
        starts_N = np.arange(len(vectors_VD)) if starts_N is None else starts_N
        return cls(vectors_VD, starts_N, np.append(starts_N[1:], len(vectors_VD)))

    @property
    def cut(self) -> bool:
        """Say whether a question has more than one window."""
        return len(self.starts_N) < len(self.vectors_VD)

    def first_windows(self) -> Floats32:
        """Give each question's first window, shape (N, D)."""
        return self.vectors_VD[self.starts_N] if self.cut else self.vectors_VD

    def few(self, number: int) -> Texts:
        """Choose about so many of the questions, evenly, or all if there are less."""
        rows = np.arange(0, len(self.starts_N), max(1, len(self.starts_N) // number))
        counts = (self.ends_N - self.starts_N)[rows]
        return Texts.of(self.vectors_VD[ranges(self.starts_N[rows], counts)], np.cumsum(counts) - counts)

    def blocks(self, rows_per_block: int) -> list[slice]:
        """Split the questions into slices of at most that many windows, or one question."""
        first, found = 0, []
        while first < len(self.starts_N):
            reach = int(np.searchsorted(self.ends_N, self.starts_N[first] + rows_per_block, side="right"))
            found.append(slice(first, max(first + 1, reach)))
            first = found[-1].stop
        return found


def product(train: Texts, items: Texts) -> Floats32:
    """Compute the similarity of all pairs in float32, shape (N, M)."""
    product_NM: Floats32 = train.vectors_VD @ items.vectors_VD.T
    if train.cut:
        product_NM = np.maximum.reduceat(product_NM, train.starts_N, axis=0)
    return np.minimum.reduceat(product_NM, items.starts_N, axis=1) if items.cut else product_NM


def of_pairs(cosines: Cosines, train: Texts, items: Texts, train_P: Rows, item_P: Rows) -> Floats64:
    """Compute the similarity of chosen pairs of questions.

    A pair whose item has windows x, y and whose training question has a, b, c is spelled out as

        group     (x) ─────────  (y) ─────────
        windows   xa   xb   xc   ya   yb   yc      the largest of each group, and of these the smallest

    Args:
        cosines: Computes those of pairs of windows: `about` or `exact`.
        train: Training questions.
        items: Evaluation questions.
        train_P: Rows of the pairs' training questions.
        item_P: Rows of their evaluation questions.
    """
    if not (train.cut or items.cut) or not len(train_P):
        return cosines(train.vectors_VD, items.vectors_VD, train_P, item_P)
    num_groups_P = (items.ends_N - items.starts_N)[item_P]
    train_G = np.repeat(train_P, num_groups_P)
    windows_G = ranges(items.starts_N[item_P], num_groups_P)
    num_windows_G = (train.ends_N - train.starts_N)[train_G]
    of_windows = cosines(
        train.vectors_VD,
        items.vectors_VD,
        ranges(train.starts_N[train_G], num_windows_G),
        np.repeat(windows_G, num_windows_G),
    )
    largest_G = np.maximum.reduceat(of_windows, np.cumsum(num_windows_G) - num_windows_G)
    smallest_P: Floats64 = np.minimum.reduceat(largest_G, np.cumsum(num_groups_P) - num_groups_P)
    return smallest_P


def about(train_ND: Floats32, items_MD: Floats32, train_P: Rows, item_P: Rows) -> Floats64:
    """Compute cosines of chosen pairs of unit vectors in float32, holding few of them in memory at a time."""
    about_P = np.empty(len(train_P))
    for start in range(0, len(train_P), _PAIRS_AT_A_TIME):
        part = slice(start, start + _PAIRS_AT_A_TIME)
        about_P[part] = np.einsum("pd,pd->p", train_ND[train_P[part]], items_MD[item_P[part]])
    return about_P


def ranges(starts: Rows, counts: Rows) -> Rows:
    """Count from each start: 5 and 2 with counts of 3 and 2 are 5, 6, 7, 2, 3."""
    before = np.cumsum(counts) - counts
    numbered: Rows = np.repeat(starts - before, counts) + np.arange(int(counts.sum()))
    return numbered


def exact(train_ND: Floats32, items_MD: Floats32, train_P: Rows, item_P: Rows) -> Floats64:
    """Compute cosines of chosen pairs of vectors in float64, holding few of them in memory at a time."""
    cosine_P = np.empty(len(train_P))
    for start in range(0, len(train_P), _PAIRS_AT_A_TIME):
        part = slice(start, start + _PAIRS_AT_A_TIME)
        train_PD = train_ND[train_P[part]].astype(np.float64)
        item_PD = items_MD[item_P[part]].astype(np.float64)
        lengths_P = np.linalg.norm(train_PD, axis=1) * np.linalg.norm(item_PD, axis=1)
        cosine_P[part] = (train_PD * item_PD).sum(axis=1) / lengths_P
    return np.clip(cosine_P, -1.0, 1.0)
