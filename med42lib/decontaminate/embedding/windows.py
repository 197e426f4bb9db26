"""Texts longer than the encoder reads, cut into windows that overlap.

An encoder that reads 256 tokens would see the beginning of a long text alone. So a longer text is cut, at the ends of
its sentences where that is possible, into windows as long as the encoder reads, half and a quarter as long, each
beginning within the first half of the one before, and into its sentences:

    text         Which ...? A. ... Answer: B. Which ...? A. ... Answer: C. Which nerve innervates the diaphragm?
    as read      ───────────────────────────────────────────────
                                   ──────────────────────────────────────────────────────────────────────
    a half       ────────────────────────
                           ...                                          ─────────────────────────────────
    a sentence   ──────────                                             ─────────────────────────────────

A benchmark question of whatever length is then most of some window of a training text that holds it. A question that is
itself longer is found in a training text if each of its windows as long as the encoder reads is, and the sentence that
asks as well: two long vignettes may differ in that one alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from med42lib.decontaminate.embedding.questions import Questions

Rows = NDArray[np.intp]

FINER = (2, 4)
"""Windows of a training text are also this many times shorter than what the encoder reads."""

_SENTENCE_END = re.compile(r"(?<=[.?!:;])\s+|\s*\n\s*")
_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Windows:
    """What is compared of a long text: in training data `whole` and `finer`, in evaluation `whole` and `asking`.

    `whole` are as long as the encoder reads, `finer` shorter, sentences among them; `asking` is the last sentence with
    a question mark, or else the last.
    """

    whole: tuple[str, ...]
    finer: tuple[str, ...]
    asking: str


def cut_text(text: str, tokens_T2: NDArray[np.intp], max_tokens: int) -> Windows:
    """Cut one text of more tokens than the encoder reads.

    Args:
        text: The text.
        tokens_T2: Where each of its tokens begins and ends, in characters.
        max_tokens: The most tokens that the encoder reads, its own left out.
    """
    tokens = _Tokens(text, tokens_T2)
    whole = tuple(tokens.windows(max_tokens))
    sentences = tokens.sentences(max_tokens)
    shorter = (window for times in FINER for window in tokens.windows(max(1, max_tokens // times)))
    asked = [sentence for sentence in sentences if sentence.endswith("?")]
    return Windows(whole, tuple(dict.fromkeys([*shorter, *sentences])), [whole[-1], *sentences, *asked][-1])


@dataclass(frozen=True)
class _Tokens:
    """A text's tokens, and those at which its sentences and its words begin."""

    text: str
    tokens_T2: NDArray[np.intp]

    @cached_property
    def _sentences(self) -> Rows:
        return self._at([0, *(end.end() for end in _SENTENCE_END.finditer(self.text))])

    @cached_property
    def _words(self) -> Rows:
        return self._at([word.start() for word in _WORD.finditer(self.text)])

    def _at(self, characters: Sequence[int]) -> Rows:
        """Find the tokens that begin at characters, or next after them."""
        found = np.unique(np.searchsorted(self.tokens_T2[:, 0], characters))
        return found[found < len(self.tokens_T2)]

    def windows(self, size: int) -> Iterator[str]:
        """Cut the text into windows of at most `size` tokens, each beginning within the first half of the last."""
        first = 0
        while len(self.tokens_T2) - first > size:
            yield self._between(first, self._boundary(first + size // 2, first + size))
            first = self._boundary(first, first + max(1, size // 2))
        yield self._between(first, len(self.tokens_T2))

    def sentences(self, size: int) -> list[str]:
        """List the sentences of at most `size` tokens."""
        edges = [*self._sentences.tolist(), len(self.tokens_T2)]
        return [self._between(*pair) for pair in pairwise(edges) if pair[1] - pair[0] <= size]

    def _boundary(self, low: int, high: int) -> int:
        """Give the last beginning of a sentence after `low` and up to `high`, or that of a word, or else `high`."""
        for beginnings in (self._sentences, self._words):
            place = int(np.searchsorted(beginnings, high, side="right")) - 1
            if place >= 0 and beginnings[place] > low:
                return int(beginnings[place])
        return high

    def _between(self, first: int, end: int) -> str:
        return self.text[self.tokens_T2[first, 0] : self.tokens_T2[end - 1, 1]]


@dataclass(frozen=True, slots=True)
class Pieces:
    """What is embedded for a comparison, each text once: short texts as they are, and windows of long ones.

    `train_rows` are the rows in `texts` of all training texts' windows, of which text `n`'s begin at
    `train_starts_N[n]`; those of evaluation texts alike. `num_long` counts the long texts of both, `num_windows`
    their windows, and `long_share` is the windows' share of all characters that are embedded, in [0, 1].
    """

    texts: list[str]
    train_rows: Rows
    train_starts_N: Rows
    item_rows: Rows
    item_starts_M: Rows
    num_long: int
    num_windows: int
    long_share: float


def to_pieces(examples: Questions, items: Questions, long: Mapping[str, Windows]) -> Pieces:
    """Put windows in the place of the long texts.

    Args:
        examples: What is asked in training.
        items: What is asked in evaluation.
        long: The windows of every text that the encoder does not read whole.
    """
    train = [(*long[text].whole, *long[text].finer) if text in long else (text,) for text in examples.texts]
    asked = [(*long[text].whole, long[text].asking) if text in long else (text,) for text in items.texts]
    rows = {
        text: row for row, text in enumerate(dict.fromkeys(piece for pieces in (*train, *asked) for piece in pieces))
    }
    short = {*examples.texts, *items.texts} - long.keys()
    lengths = {text: len(text) for text in rows if text not in short}
    return Pieces(
        list(rows),
        *_numbered(train, rows),
        *_numbered(asked, rows),
        num_long=len(long),
        num_windows=len(lengths),
        long_share=sum(lengths.values()) / sum(map(len, rows)),
    )


def _numbered(texts: Sequence[Sequence[str]], rows: Mapping[str, int]) -> tuple[Rows, Rows]:
    starts = np.cumsum([0, *map(len, texts)][:-1])
    return np.array([rows[piece] for pieces in texts for piece in pieces], np.intp), starts.astype(np.intp)
