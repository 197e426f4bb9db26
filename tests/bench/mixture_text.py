"""Medical-sounding prose at a gigabyte in a few seconds, the same for the same seed.

    line:  the patient with nephritis, and of chronic gastropathy in a left arteritis
    prose: the same, in paragraphs
    terms: hepatoma bronchectomy neuralgia

Words of `line` and `prose` follow Zipf's law, as those of any language do, so that the text compresses about as real
text does. Those of `terms` are drawn evenly, so that even three of them hardly ever come twice.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any, Literal, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

A = TypeVar("A")
Kind = Literal["line", "prose", "terms"]

COMMON = (
    "the of and in to a with is for patient was are by on or disease that as treatment be from which this at an "
    "patients most cells blood clinical not may can have it increased associated cause pain acute risk after chronic "
    "following history symptoms left right normal therapy during level study infection syndrome his her has been "
    "group between due pressure year-old common more than also seen test results used days years into when should "
    "diagnosis low high both however these other skin heart liver kidney lung brain bone tissue serum dose effect"
)
NOT_ASCII = "β-blocker Sjögren µg ≥ 37°C naïve Ménière α-helix Guillain–Barré ± → Raynaud’s"
PREFIXES = ("", "peri", "hyper", "hypo", "endo", "sub", "anti", "poly", "pseudo", "micro", "inter", "dys")
ROOTS = (
    "cardi neur hepat nephr gastr derm arthr oste my pulmon bronch enter cyst aden angi arteri cephal chondr col cost "
    "crani cyt encephal fibr gloss hem hyster kerat lapar laryng leuk lip lymph mast mening"
)
SUFFIXES = ("itis", "oma", "opathy", "ectomy", "algia", "osis", "ology", "al", "ic", "emia")
NOT_ASCII_RANK = 1000
"""Rank of the first word outside ASCII: common enough to occur in a tenth of texts of this length."""

SEPARATORS = {"line": ((" ", 90), (", ", 5), (". ", 5)), "prose": ((" ", 90), (", ", 5), (". ", 4), (".\n\n", 1))}
TABLE_SIZE = 1 << 16
MIN_WORDS = {"line": 8, "prose": 8, "terms": 3}
MAX_TIMES_MEAN = 16
"""Longest text, in means of its kind, so that three rows do not decide the size of the whole."""


class Prose:
    """A stream of texts and numbers that depends on its seed and name alone."""

    def __init__(self, seed: int, name: str) -> None:
        self.rng = np.random.default_rng([seed, zlib.crc32(name.encode())])

    def texts(self, count: int, mean_bytes: float, *, kind: Kind = "line", end: str = "") -> list[str]:
        """Make texts whose lengths are log-normal around a mean, at least `MIN_WORDS` of the kind long."""
        words, table, bytes_per_word = DICTIONARIES[kind]
        num_words = self._lengths(count, mean_bytes / bytes_per_word, MIN_WORDS[kind])
        ends = np.cumsum(num_words)
        drawn = table[self.rng.integers(0, TABLE_SIZE, size=int(ends[-1]), dtype=np.uint16)]
        column = words.take(pa.array(drawn))
        _, offsets_buffer, text_buffer = column.buffers()
        offsets = np.frombuffer(offsets_buffer, dtype=np.int32)
        text = text_buffer.to_pybytes()
        edges = [0, *offsets[ends].tolist()]
        return [text[start:stop].lstrip(b" ,.\n").decode() + end for start, stop in pairwise(edges)]

    def _lengths(self, count: int, mean: float, least: int) -> NDArray[np.int64]:
        spread = 0.8
        lengths = self.rng.lognormal(math.log(mean) - spread**2 / 2, spread, size=count)
        return np.clip(lengths, least, MAX_TIMES_MEAN * mean).astype(np.int64)

    def numbers(self, count: int, low: int, high: int) -> list[int]:
        """Draw whole numbers, `high` not among them."""
        return [int(number) for number in self.rng.integers(low, high, size=count)]

    def picks(self, choices: Sequence[A], count: int) -> list[A]:
        """Draw with equal chances; repeat a choice to make it likelier."""
        return [choices[number] for number in self.numbers(count, 0, len(choices))]

    def ids(self, count: int, num_digits: int = 32) -> list[str]:
        """Make identifiers of hexadecimal digits."""
        digits = self.rng.bytes(count * num_digits // 2).hex()
        return [digits[start : start + num_digits] for start in range(0, count * num_digits, num_digits)]


Dictionary = tuple[Any, NDArray[np.int32], float]
"""Arrow's array of words with what stands before them, a table from even numbers to words, and bytes per word."""


def _zipf_dictionary(kind: Literal["line", "prose"]) -> Dictionary:
    """Weigh a word by one over its rank, and split its weight among the separators before it."""
    terms = _terms()
    words = [*COMMON.split(), *terms[:NOT_ASCII_RANK], *NOT_ASCII.split(), *terms[NOT_ASCII_RANK:]]
    entries = [
        before + (word.capitalize() if "." in before else word) for word in words for before, _ in SEPARATORS[kind]
    ]
    weights = np.array([weight / (rank + 3) for rank in range(len(words)) for _, weight in SEPARATORS[kind]])
    # The table's even steps cannot hold the rarest entries; a few hundred of thousands fall out.
    edges = np.cumsum(weights) / weights.sum()
    table = np.searchsorted(edges, (np.arange(TABLE_SIZE) + 0.5) / TABLE_SIZE).astype(np.int32)
    return _dictionary(entries, table)


def _even_dictionary() -> Dictionary:
    entries = [f" {term}" for term in _terms()]
    return _dictionary(entries, (np.arange(TABLE_SIZE) % len(entries)).astype(np.int32))


def _dictionary(entries: list[str], table: NDArray[np.int32]) -> Dictionary:
    lengths = np.array([len(entry.encode()) for entry in entries])
    return pa.array(entries), table, float(lengths[table].mean())


def _terms() -> list[str]:
    """Build all terms, in an order that puts no family of words first."""
    terms = ["".join(parts) for parts in product(PREFIXES, ROOTS.split(), SUFFIXES)]
    return sorted(terms, key=lambda term: zlib.crc32(term.encode()))


DICTIONARIES: dict[Kind, Dictionary] = {
    "line": _zipf_dictionary("line"),
    "prose": _zipf_dictionary("prose"),
    "terms": _even_dictionary(),
}
