"""The files in which decontamination states what it found: one stage writes them, another reads them."""

from __future__ import annotations

from dataclasses import dataclass

CONTAMINATED_FILE = "contaminated.json"
PAIRS_FILE = "pairs.jsonl"
NEAREST_FILE = "nearest.jsonl"
SUMMARY_FILE = "summary.json"


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
