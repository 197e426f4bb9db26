"""The files in which decontamination states what it found: one stage writes them, another reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from med42lib.core.json_file import read_json_rows

CONTAMINATED_FILE = "contaminated.json"
PAIRS_FILE = "pairs.jsonl"
STEMS_FILE = "stems.jsonl"
"""Pairs that share no more than a generic stem ("Which of the following is true?"), which are no leaks."""
OVERLAPS_FILE = "overlaps.jsonl"
"""Pairs of a cosine that is not above the threshold, which share 13-grams or all words of the question."""
NEAREST_FILE = "nearest.jsonl"
SUMMARY_FILE = "summary.json"
ADVICE = "run decontaminate again"


class Detector(StrEnum):
    """How a pair was found: by its cosine, the question's words one for one, or an n-gram that both have in common."""

    COSINE = "cosine"
    EXACT = "exact"
    NGRAMS = "ngrams"


class Label(StrEnum):
    """What a pair shares, from the worst leak down. `decontaminate.labels` decides it by the `rule` of each."""

    SAME_ANSWER = "same_answer"
    OTHER_OPTIONS = "other_options"
    REWORDED = "reworded"
    STEM_ONLY = "stem_only"
    TOPIC_ONLY = "topic_only"

    @property
    def heading(self) -> str:
        """Name it for people."""
        return _LABELS[self][0]

    @property
    def rule(self) -> str:
        """Say when a pair has it, in one sentence."""
        return _LABELS[self][1]


_LABELS = {
    Label.SAME_ANSWER: (
        "Same question and answer",
        "The same words ask, and the example answers with the item's right option.",
    ),
    Label.OTHER_OPTIONS: (
        "Same question, other options",
        "The same words ask, but the example answers otherwise: with another option, or in other words.",
    ),
    Label.REWORDED: (
        "Rewording",
        "Other words ask, and the example speaks of the item's right option or of half its options. Options that tell "
        "nothing (no, maybe, all of the above, a letter alone) do not count; where all are such, likeness is enough.",
    ),
    Label.STEM_ONLY: (
        "Same stem only",
        "The stem is one of any examination (“Which of the following is true?”), with one word of its own at most, or "
        "none where the same words ask, and the example speaks neither of the right option nor of half the options; or "
        "items ask the question of several contexts, and the example has not half of this one.",
    ),
    Label.TOPIC_ONLY: (
        "Topic only",
        "Other words ask, and the example speaks neither of the right option nor of half the options.",
    ),
}


@dataclass(frozen=True, slots=True)
class Pair:
    """An evaluation item and a training example that ask too much the same.

    `item_text` and `example_text` are what was compared. `detectors` are those of `Detector` that found the pair, and
    `overlap` is the share of the item's n-grams that the example has, in [0, 1]. `label` is a `Label`; what follows is
    all that both sides say: the item with its options, and every turn of the example. It is empty until then.
    """

    item_id: str
    benchmark: str
    example_id: str
    source: str
    cosine: float
    item_text: str
    example_text: str
    detectors: list[str] = field(default_factory=lambda: [Detector.COSINE.value])
    overlap: float = 0.0
    label: str = ""
    item_request: str = ""
    item_answer: str = ""
    example_request: str = ""
    example_answer: str = ""


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
