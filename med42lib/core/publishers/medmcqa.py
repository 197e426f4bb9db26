"""MedMCQA (Pal, Umapathi and Sankarasubbu 2022): Indian entrance exams, JSON lines in a file named `.json`.

    {"id": ..., "question": ..., "opa": ..., "opb": ..., "opc": ..., "opd": ..., "cop": 1, "exp": ..., ...}

In the publisher's files `cop` counts from 1; the hub's copy counts from 0, and reading one as the other shifts every
answer, so 0 is refused. A `choice_type` of "multi" still has exactly one answer. `exp` often names the answer's letter,
so no prompt may show it. In 21 of the validation questions two options read the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from med42lib.core.fields import mapping, optional_text, text_field
from med42lib.core.publishers.question import Question, checked_options, gold_of_number
from med42lib.core.reading import DataFile, Record, each, json_lines
from med42lib.core.rejects import BadRecord, Reject

_OPTIONS = ("opa", "opb", "opc", "opd")


def read_medmcqa(file: DataFile) -> Iterator[Record[Question] | Reject]:
    """Read every question of the file.

    Raises:
        DataError: If the file is not JSON lines.
    """
    return each(json_lines(file), _question)


def _question(value: Any) -> Question:
    row = mapping(value)
    if row.get("cop") in (0, "0"):
        raise BadRecord("cop is 0, but the publisher counts from 1 (the hub's copy counts from 0)")
    options = checked_options([row.get(key) for key in _OPTIONS])
    return Question(
        publisher_id=text_field(row, "id"),
        text=text_field(row, "question"),
        options=options,
        gold=gold_of_number(row.get("cop"), len(options), field="cop"),
        explanation=optional_text(row, "exp"),
    )
