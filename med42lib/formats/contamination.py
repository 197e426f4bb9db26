"""The files in which decontamination states what it found: one stage writes them, another reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from med42lib.core.json_file import read_json_rows

CONTAMINATED_FILE = "contaminated.json"
PAIRS_FILE = "pairs.jsonl"
STEMS_FILE = "stems.jsonl"
"""Pairs that share no more than a generic stem ("Which of the following is true?"), which are no leaks."""
NEAREST_FILE = "nearest.jsonl"
SUMMARY_FILE = "summary.json"
ADVICE = "run decontaminate again"


@dataclass(frozen=True, slots=True)
class Pair:
    """An evaluation item and a training example that ask too much the same, with both questions."""

    item_id: str
    benchmark: str
    example_id: str
    source: str
    cosine: float
    item_text: str
    example_text: str


@dataclass(frozen=True, slots=True)
class NearestExample:
    """The training example most like an evaluation item, contaminated or not.

    `stem_only` says that the two share a generic stem, but neither options nor answer.
    """

    item_id: str
    benchmark: str
    example_id: str
    cosine: float
    stem_only: bool


def read_pairs(path: Path) -> Iterator[Pair]:
    """Read all pairs of a `PAIRS_FILE`.

    Raises:
        DataError: If a line is broken or lacks a field.
    """
    return (pair for _, pair in read_json_rows(Pair, path, ADVICE))


def read_nearest(path: Path) -> Iterator[NearestExample]:
    """Read every item's nearest example off a `NEAREST_FILE`; errors as in `read_pairs`."""
    return (nearest for _, nearest in read_json_rows(NearestExample, path, ADVICE))
