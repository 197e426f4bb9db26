"""MedMCQA (Pal, Umapathi and Sankarasubbu 2022): Indian entrance exams, in two layouts.

    publisher    JSON lines in a file named `.json`; `cop` counts from 1
    hub          Parquet, the same columns; `cop` is a class label a to d and counts from 0; -1 in the test split

    {"id": ..., "question": ..., "opa": ..., "opb": ..., "opc": ..., "opd": ..., "cop": 1, "exp": ..., ...}

Reading one layout as the other shifts every answer: 0 is refused in the publisher's, 4 in the hub's, so that a quarter
of the file is rejected. A `choice_type` of "multi" still has exactly one answer. `exp` often names the answer's letter,
so no prompt may show it. In 21 of the validation questions two options read the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from med42lib.formats.rejects import BadRecord, Reject
from med42lib.readers.data_set import PublisherFacts
from med42lib.readers.fields import mapping, optional_text, text_field
from med42lib.readers.files import DataFile
from med42lib.readers.hf_layout import Rows
from med42lib.readers.parsers import Record, each, json_lines
from med42lib.readers.publishers.question import Question, checked_options, gold_of_class_label, gold_of_number

FACTS = PublisherFacts(
    licence="MIT (the hub's card says Apache 2.0)",
    attribution="Ankit Pal, Logesh Kumar Umapathi and Malaikannan Sankarasubbu",
    citation="Pal, Umapathi and Sankarasubbu 2022, MedMCQA: A Large-scale Multi-Subject Multi-Choice Dataset for "
    "Medical domain Question Answering, CHIL, PMLR 174",
)

_OPTIONS = ("opa", "opb", "opc", "opd")


def read_medmcqa(file: DataFile) -> Iterator[Record[Question] | Reject]:
    """Read every question of the file.

    Raises:
        DataError: If the file is not JSON lines.
    """
    return each(json_lines(file), _published)


def medmcqa_rows_of_hub(rows: Rows) -> Iterator[Record[Question] | Reject]:
    """Read the hub's rows."""
    return each(rows, _on_hub)


def _published(value: Any) -> Question:
    row = mapping(value)
    if row.get("cop") in (0, "0"):
        raise BadRecord("cop is 0, but the publisher counts from 1 (the hub's copy counts from 0)")
    return _question(row, gold_of_number(row.get("cop"), len(_OPTIONS), field="cop"))


def _on_hub(value: Any) -> Question:
    row = mapping(value)
    return _question(row, gold_of_class_label(row.get("cop"), len(_OPTIONS), field="cop"))


def _question(row: Mapping[str, Any], gold: int) -> Question:
    return Question(
        publisher_id=text_field(row, "id"),
        text=text_field(row, "question"),
        options=checked_options([row.get(key) for key in _OPTIONS]),
        gold=gold,
        explanation=optional_text(row, "exp"),
        subject=optional_text(row, "subject_name"),
    )
