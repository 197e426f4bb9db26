"""MedQA (Jin et al. 2021): US medical licensing questions, JSON lines, with four or five options.

    {"question": ..., "options": {"A": ..., "B": ..., ...}, "answer_idx": "B", "answer": "<text of B>", ...}

The answer stands there twice, as letter and as text; a record in which the two disagree is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from string import ascii_uppercase
from typing import Any

from med42lib.core.fields import mapping, text_field
from med42lib.core.publishers.question import Question, checked_options, gold_of_letter
from med42lib.core.reading import DataFile, Record, each, json_lines
from med42lib.core.rejects import BadRecord, Reject


def read_medqa(file: DataFile) -> Iterator[Record[Question] | Reject]:
    """Read every question of the file.

    Raises:
        DataError: If the file is not JSON lines.
    """
    return each(json_lines(file), _question)


def _question(value: Any) -> Question:
    row = mapping(value)
    by_letter = mapping(row.get("options"))
    letters = ascii_uppercase[: len(by_letter)]
    if set(by_letter) != set(letters):
        raise BadRecord("the options are not lettered A, B, C, …", repr(list(by_letter)))
    options = checked_options([by_letter[letter] for letter in letters])
    gold = gold_of_letter(row.get("answer_idx"), len(options), field="answer_idx")
    if text_field(row, "answer") != options[gold]:
        raise BadRecord("answer and answer_idx disagree", f"{row['answer']!r} is not option {letters[gold]}")
    return Question("", text_field(row, "question"), options, gold)
