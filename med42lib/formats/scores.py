"""`scores.jsonl`: a model's answer to each benchmark item, as `evaluate` writes and `report` reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from med42lib.core.errors import DataError
from med42lib.core.json_file import read_json_rows, write_json_lines

SCORES_FILE = "scores.jsonl"
SCORES_SUMMARY_FILE = "summary.json"
"""Beside it: how each benchmark was scored, and the share of right answers."""

ADVICE = "run evaluate again"


@dataclass(frozen=True, slots=True)
class Score:
    """A model's answer to one item.

    `gold` and `prediction` are 0-based positions in the item's options; `loglikelihoods` are natural logarithms,
    one per option, not normalised. `correct` holds for any option that says the same as `gold`. `truncated` says that
    the question's beginning did not fit the model.
    """

    item_id: str
    benchmark: str
    gold: int
    prediction: int
    correct: bool
    loglikelihoods: tuple[float, ...]
    truncated: bool


def write_scores(path: Path, scores: Iterable[Score]) -> None:
    """Write one JSON line per item, in the order given."""
    write_json_lines(path, map(asdict, scores))


def read_scores(path: Path) -> Iterator[tuple[str, Score]]:
    """Read what `write_scores` wrote, each row with its place (`file:line`) for messages.

    Raises:
        DataError: If a line is no row of scores.
    """
    for where, score in read_json_rows(Score, path, ADVICE):
        if not isinstance(score.correct, bool):
            raise DataError(f"{where}: 'correct' is {score.correct!r}, expected true or false; {ADVICE}")
        yield where, replace(score, loglikelihoods=tuple(score.loglikelihoods))
