"""N-grams of words that evaluation items and training examples share: exact, and without an encoder.

After T. Brown et al., Language Models are Few-Shot Learners (2020), appendix C: an item is found in training if 13
words in a row stand there, or all of its words if it has fewer, but 8 at least. N-grams of more than ten training
examples are common phrases ("blood pressure is 120 80 mm hg ...") and do not count. We differ in one thing: how many
words it takes depends on each item's own length, not on the fifth percentile of its benchmark.

Words are numbered by the items' vocabulary; a word that no item has is -1, and no n-gram goes over it. With n-grams of
three words for the sketch, the items "a b c d" and "b c d e" and the training text "a b c d, then c d e":

    numbers      0 1 2 3 -1 2 3 4
    n-grams      0 1 2              of the first item
                   1 2 3            of both
                            2 3 4   of the second

All places of the training text are hashed at once; where a hash may be an n-gram's, its words are looked up. So no
collision counts, and the time is that of cutting the text into words.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from med42lib.decontaminate.words import words

LONGEST, SHORTEST = 13, 8
MOST_EXAMPLES = 10

_BASE = np.uint64(0x9E3779B97F4A7C15)  # any large odd number
_TABLE_BITS = 26  # 64 MiB, of which the n-grams of the paper's benchmarks mark half a percent
_EXAMPLES_PER_BLOCK = 8192

Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Shared:
    """Rows of an example and an item that share n-grams; `share` of the item's different ones, in (0, 1]."""

    example: int
    item: int
    share: float


def find_shared(items: Sequence[str], examples: Iterable[tuple[int, Sequence[str]]]) -> list[Shared]:
    """Find all examples and items that share n-grams, sorted by item, then by example.

    Memory is bounded by the items' n-grams, about 200 bytes each, and by ten examples for each of them.

    Args:
        items: Texts of the evaluation items.
        examples: Row of every training example, each once, and its texts; no n-gram goes from one text into the next.
    """
    index = _Index(items)
    rows = iter(examples)
    while block := list(islice(rows, _EXAMPLES_PER_BLOCK)):
        index.look_through(block)
    num_shared: Counter[tuple[int, int]] = Counter()
    for gram, found in enumerate(index.examples_of):
        if len(found) <= MOST_EXAMPLES:
            num_shared.update((item, example) for item in index.items_of[gram] for example in found)
    return [
        Shared(example, item, count / index.num_grams[item]) for (item, example), count in sorted(num_shared.items())
    ]


class _Index:
    """The items' n-grams, in which items they are, and in which examples they were found so far."""

    def __init__(self, items: Sequence[str]) -> None:
        split = [words(text) for text in items]
        different = dict.fromkeys(word for text in split for word in text)
        self._numbers = {word: number for number, word in enumerate(different)}
        self._grams: dict[bytes, int] = {}
        self._may_be = np.zeros(1 << _TABLE_BITS, np.bool_)
        self._sizes: set[int] = set()
        self.items_of: list[list[int]] = []
        self.num_grams: dict[int, int] = {}
        for item, text in enumerate(split):
            if len(text) >= SHORTEST:
                self._add(item, self._numbered(text), min(len(text), LONGEST))
        self.examples_of: list[list[int]] = [[] for _ in self._grams]

    def _add(self, item: int, words_W: Ids, size: int) -> None:
        self._sizes.add(size)
        self._may_be[_places(_hashes(words_W, size))] = True
        grams = {words_W[first : first + size].tobytes() for first in range(len(words_W) - size + 1)}
        self.num_grams[item] = len(grams)
        for gram in sorted(grams):
            number = self._grams.setdefault(gram, len(self._grams))
            if number == len(self.items_of):
                self.items_of.append([])
            self.items_of[number].append(item)

    def _numbered(self, text: Sequence[str]) -> Ids:
        return np.array([self._numbers.get(word, -1) for word in text], np.int32)

    def look_through(self, block: Sequence[tuple[int, Sequence[str]]]) -> None:
        """Note which n-grams the examples hold; of one that too many hold, no more than that."""
        text: list[str] = []
        ends: list[int] = []
        for _, said in block:
            for part in said:
                text += [*words(part), ""]  # no word, so that it ends every n-gram
            ends.append(len(text))
        words_W = self._numbered(text)
        for place, size in self._candidates(words_W):
            gram = self._grams.get(words_W[place : place + size].tobytes())
            if gram is not None:
                self._note(gram, block[bisect_right(ends, place)][0])

    def _candidates(self, words_W: Ids) -> Iterator[tuple[int, int]]:
        for size in sorted(self._sizes):
            if size <= len(words_W):
                found = np.flatnonzero(self._may_be[_places(_hashes(words_W, size))])
                yield from ((place, size) for place in found.tolist())

    def _note(self, gram: int, example: int) -> None:
        found = self.examples_of[gram]
        if len(found) <= MOST_EXAMPLES and example not in found:
            found.append(example)


def _hashes(words_W: Ids, size: int) -> NDArray[np.uint64]:
    """Hash the n-gram that begins at each word: a polynomial modulo 2**64."""
    numbers_W = words_W.astype(np.uint64)
    hashes = np.zeros(len(words_W) - size + 1, np.uint64)
    for word in range(size):
        hashes = hashes * _BASE + numbers_W[word : word + len(hashes)]
    return hashes


def _places(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return hashes >> np.uint64(64 - _TABLE_BITS)
