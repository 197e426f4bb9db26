"""Which part of which sample goes into which chunk: the two policies, on lengths alone.

Shape key:
    S: samples
    P: pieces (a sample, or the part of it that lies in one chunk)
    C: chunks
    B: bins, the chunks of `best_fit` before they are shuffled

Memory: a few integers per sample, whatever its length.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Layout:
    """Chunks as lists of pieces.

    `pieces` is (P, 3): the sample, the first token taken from it, the number of tokens taken. `chunk_starts` is
    (C + 1,): each chunk's first piece, and P.
    """

    pieces: Integers
    chunk_starts: Integers


LayOut = Callable[[Integers, int, int], Layout]
"""A policy: lengths, chunk length and seed to chunks."""


def lay_out_some(lay_out: LayOut, lengths: Integers, samples: Integers, chunk_length: int, seed: int) -> Layout:
    """Lay out some of the samples, as if there were no others.

    Args:
        lay_out: The policy.
        lengths: Tokens of every sample, shape (S,).
        samples: Numbers of those to lay out; there may be none.
        chunk_length: Slots of a chunk.
        seed: Seed of the order.
    """
    if not len(samples):
        return Layout(np.empty((0, 3), np.int64), np.zeros(1, np.int64))
    layout = lay_out(lengths[samples], chunk_length, seed)
    number, *others = layout.pieces.T
    return Layout(np.stack([samples[number], *others], axis=1), layout.chunk_starts)


def joined(first: Layout, second: Layout) -> Layout:
    """Put the chunks of one layout behind those of another."""
    starts = np.append(first.chunk_starts, second.chunk_starts[1:] + len(first.pieces))
    return Layout(np.concatenate([first.pieces, second.pieces]), starts)


def shuffled(count: int, seed: int) -> Integers:
    """Permute `[0, count)`; the same for a seed on every machine and with every version of numpy."""
    # numpy guarantees this for RandomState, and not for the newer Generator (NEP 19)
    return np.random.RandomState(seed).permutation(count).astype(np.int64)


def concatenate(lengths: Integers, chunk_length: int, seed: int) -> Layout:
    """Lay the samples end to end in a random order and cut every `chunk_length` tokens: the paper's packing.

    No token is lost; only the last chunk may have room left. Samples of 5, 2 and 4 tokens, chunks of 6:

        stream   a a a a a b b c c c c
        chunks  |a a a a a b|b c c c c .|
        pieces   (a, 0, 5) (b, 0, 1) | (b, 1, 1) (c, 0, 4)

    Args:
        lengths: Tokens of each sample, shape (S,), at least 1 each.
        chunk_length: Slots of a chunk.
        seed: Seed of the order.
    """
    order = shuffled(len(lengths), seed)
    ends = np.cumsum(lengths[order])
    sample_starts = ends - lengths[order]
    chunk_offsets = np.arange(0, ends[-1], chunk_length)
    cuts = np.union1d(sample_starts, chunk_offsets)
    place = np.searchsorted(sample_starts, cuts, side="right") - 1
    counts = np.diff(cuts, append=ends[-1])
    pieces = np.stack([order[place], cuts - sample_starts[place], counts], axis=1)
    return Layout(pieces, np.append(np.searchsorted(cuts, chunk_offsets), len(cuts)))


def best_fit(lengths: Integers, chunk_length: int, seed: int) -> Layout:
    """Pack whole samples by best-fit decreasing, then shuffle the chunks.

    Without the shuffle, long samples would come first. The seed also decides which of equally long samples goes
    where; the number of chunks does not depend on it.

    Args:
        lengths: Tokens of each sample, shape (S,), in [1, chunk_length].
        chunk_length: Slots of a chunk.
        seed: Seed of the order.
    """
    order = shuffled(len(lengths), seed)
    longest_first = order[np.argsort(-lengths[order], kind="stable")]
    bin_of_S = best_fit_decreasing(lengths[longest_first], chunk_length)
    num_bins = int(bin_of_S.max()) + 1
    chunk_of_S = shuffled(num_bins, seed)[bin_of_S]
    by_chunk = np.argsort(chunk_of_S, kind="stable")
    samples = longest_first[by_chunk]
    pieces = np.stack([samples, np.zeros_like(samples), lengths[samples]], axis=1)
    num_samples = np.bincount(chunk_of_S, minlength=num_bins)
    return Layout(pieces, np.append(0, np.cumsum(num_samples)))


def best_fit_decreasing(lengths: Integers, capacity: int) -> Integers:
    """Put each length into the bin with the least free space that still holds it; a new bin if none does.

    Exactly best-fit decreasing, but one step per (length, free space) that occurs instead of one per sample, after
    the idea of packing the histogram of lengths (Krell et al. 2021, arXiv:2107.02027): once a bin is the tightest
    for a length it stays so, and takes as many as fit; bins with equal free space all do the same. With capacity 8:

        length  samples  tightest bins first                              free space afterwards
        6       1        none holds it: new bin 0                          0:2
        5       2        none holds it: new bins 1, 2                      0:2  1:3  2:3
        2       4        bin 0 takes 1; bins 1, 2 take 1 each; new bin 3    0:0  1:1  2:1  3:6
        1       1        bin 1                                             0:0  1:0  2:1  3:6

        lengths  6 5 5 2 2 2 2 1
        bins     0 1 2 0 1 2 3 1

    Args:
        lengths: Shape (S,), falling, in [1, capacity].
        capacity: Size of every bin.

    Returns:
        The bin of each length, shape (S,), numbered from 0 in the order of opening.
    """
    bin_of_S = np.empty(len(lengths), np.int64)
    bins = _Bins(capacity)
    values, first_places = np.unique(-lengths, return_index=True)
    ends = np.append(first_places[1:], len(lengths))
    for length, place, end in zip((-values).tolist(), first_places.tolist(), ends.tolist(), strict=True):
        while place < end:
            taken = bins.take(length, end - place)
            bin_of_S[place : place + len(taken)] = taken
            place += len(taken)
    return bin_of_S


class _Bins:
    """Open bins, grouped by free space."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._num_bins = 0
        self._with_space: defaultdict[int, list[Integers]] = defaultdict(list)
        self._is_space = np.zeros(capacity + 1, np.bool_)

    def take(self, length: int, count: int) -> Integers:
        """Put up to `count` items of one length into the tightest bins; returns the bin of each item placed."""
        sufficient = self._is_space[length:]
        space = length + int(sufficient.argmax()) if sufficient.any() else self._capacity
        items_per_bin = space // length
        num_needed = -(-count // items_per_bin)
        bins = self._pop(space) if sufficient.any() else self._open(num_needed)
        self._push(space, bins[num_needed:])
        bins = bins[:num_needed]
        taken = np.repeat(bins, items_per_bin)[:count]
        num_in_last = len(taken) - items_per_bin * (len(bins) - 1)
        self._push(space - items_per_bin * length, bins[:-1])
        self._push(space - num_in_last * length, bins[-1:])
        return taken

    def _open(self, count: int) -> Integers:
        self._num_bins += count
        return np.arange(self._num_bins - count, self._num_bins)

    def _pop(self, space: int) -> Integers:
        self._is_space[space] = False
        return np.concatenate(self._with_space.pop(space))

    def _push(self, space: int, bins: Integers) -> None:
        if len(bins):
            self._with_space[space].append(bins)
            self._is_space[space] = True
