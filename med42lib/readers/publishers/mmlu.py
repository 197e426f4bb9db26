"""MMLU (Hendrycks et al. 2021): one file per topic and split, in any of three layouts.

    publisher    CSV without header; question, four options, answer as a letter A to D
    re-export    CSV with header `question,choice0,choice1,choice2,choice3,answer`; answer as a number 0 to 3
    hub          Parquet or JSON; {"question": ..., "subject": "anatomy", "choices": [four], "answer": 0 to 3}

Which CSV it is shows in the first row. The two never mix in a file: a letter where a number should be is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import PurePosixPath
from typing import Any

from med42lib.formats.rejects import BadRecord, Reject
from med42lib.readers.cleaning import is_blank
from med42lib.readers.data_set import PublisherFacts
from med42lib.readers.fields import mapping, text_field
from med42lib.readers.files import DataFile
from med42lib.readers.hf_layout import Rows
from med42lib.readers.parsers import Record, csv_rows, each
from med42lib.readers.publishers.question import Question, checked_options, gold_of_class_label, gold_of_letter

FACTS = PublisherFacts(
    licence="MIT",
    attribution="Dan Hendrycks, Collin Burns, Steven Basart, Andy Zou, Mantas Mazeika, Dawn Song and Jacob Steinhardt",
    citation="Hendrycks et al. 2021, Measuring Massive Multitask Language Understanding, ICLR",
)

_HEADER = ["question", "choice0", "choice1", "choice2", "choice3", "answer"]
_NUM_OPTIONS = len(_HEADER) - 2
_LETTER_OF_NUMBER = {"0": "A", "1": "B", "2": "C", "3": "D"}


def topic_of(file_name: str) -> str:
    """Name a file's topic: `anatomy` for `test/anatomy_test.csv`."""
    return PurePosixPath(file_name).stem.rpartition("_")[0]


def read_mmlu(file: DataFile) -> Iterator[Record[Question] | Reject]:
    """Read every question of the file, whichever layout it has.

    Raises:
        DataError: If the file is not CSV in UTF-8.
    """
    rows = csv_rows(file)
    first = next(rows, None)
    if first is None:
        return iter(())
    if isinstance(first, Record) and first.value == _HEADER:
        return each(rows, _reexported)
    return each(chain([first], rows), _published)


def mmlu_rows_of_hub(rows: Rows) -> Iterator[Record[Question] | Reject]:
    """Read the hub's rows of one topic or of several."""
    return each(rows, _on_hub)


def _on_hub(value: Any) -> Question:
    row = mapping(value)
    choices = row.get("choices")
    if not isinstance(choices, list) or len(choices) != _NUM_OPTIONS:
        raise BadRecord("choices is not a list of four options", repr(choices))
    gold = gold_of_class_label(row.get("answer"), _NUM_OPTIONS, field="answer")
    return Question("", text_field(row, "question"), checked_options(choices), gold)


def _published(row: list[str]) -> Question:
    text, options, answer = _cells(row)
    return Question("", text, options, gold_of_letter(answer, len(options), field="answer"))


def _reexported(row: list[str]) -> Question:
    text, options, answer = _cells(row)
    letter = _LETTER_OF_NUMBER.get(answer, answer and f"number {answer}")
    return Question("", text, options, gold_of_letter(letter, len(options), field="answer"))


def _cells(row: list[str]) -> tuple[str, tuple[str, ...], str]:
    if len(row) != len(_HEADER):
        raise BadRecord("the row has another number of cells than a question needs", f"{len(row)}, not 6")
    text = row[0].strip()
    if is_blank(text):
        raise BadRecord("the question is blank")
    return text, checked_options(row[1 : 1 + _NUM_OPTIONS]), row[-1].strip()
