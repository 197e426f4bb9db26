"""`scores.jsonl`: a model's answer to each benchmark item, as `evaluate` writes and `report` reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from med42lib.core.errors import DataError
from med42lib.core.json_file import read_json_rows, write_json_lines

SCORES_FILE = "scores.jsonl"
SCORES_SUMMARY_FILE = "summary.json"
"""Beside it: how each benchmark was scored, and the share of right answers."""

ADVICE = "run evaluate again"

Normalise = Literal["none", "characters", "bytes"]
"""What an option's log-likelihood is divided by before the highest wins."""

MOST_GENERATED = 2_000
"""Characters of a written answer that are kept; all of it is judged."""

METRIC_OF: Mapping[Normalise, str] = {"none": "acc", "characters": "acc_norm", "bytes": "acc_bytes"}
"""What lm-eval calls the accuracy."""


def predicted(answers: Sequence[str], loglikelihoods: Sequence[float], normalise: Normalise) -> int:
    """Give the position of the answer with the highest normalised log-likelihood; ties go to the earlier one."""
    compared = _compared(answers, loglikelihoods, normalise)
    return compared.index(max(compared))


def is_tied(answers: Sequence[str], loglikelihoods: Sequence[float], normalise: Normalise) -> bool:
    """Say whether another answer, of another text, is as likely as the one that was `predicted`."""
    compared = _compared(answers, loglikelihoods, normalise)
    highest = max(compared)
    return len({answer for answer, number in zip(answers, compared, strict=True) if number == highest}) > 1


def _compared(answers: Sequence[str], loglikelihoods: Sequence[float], normalise: Normalise) -> list[float]:
    if normalise == "none":
        return list(loglikelihoods)
    lengths = [len(answer.encode() if normalise == "bytes" else answer) for answer in answers]
    return [number / length for number, length in zip(loglikelihoods, lengths, strict=True)]


@dataclass(frozen=True, slots=True)
class Score:
    """A model's answer to one item.

    `gold` and `prediction` are 0-based positions in the item's options; `loglikelihoods` are natural logarithms,
    one per option, not normalised. `correct` holds for any option that says the same as `gold`. `truncated` says that
    the question's beginning did not fit the model. Where the model wrote its answer, `generated` is that text, its
    first `MOST_GENERATED` characters, and there are no positions and no log-likelihoods.
    """

    item_id: str
    benchmark: str
    gold: int | None
    prediction: int | None
    correct: bool
    loglikelihoods: tuple[float, ...]
    truncated: bool
    generated: str | None = None


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
