"""USMLE practice questions: FSMB's and NBME's own, which users bring themselves, in either of two layouts.

    medAlpaca    step1.json              [{"no": 1, "question": ..., "options": {"A": ..., "B": ..., ...}}, ...]
                 step1_solutions.json    {"1": "C", ...}
                 question_with_images.json    {"step1": [3, 17], "step2": [...], "step3": [...]}
    lines        *.jsonl                 {"question": ..., "options": {"A": ...} or [...], "answer": "C"}

A question of a step file may carry its `answer` too; then it and the solutions must agree. Questions have 4 to 9
options. A question about an image, or whose options are not text at all, is excluded: it cannot be asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

from med42lib.core.errors import DataError
from med42lib.formats.rejects import BadRecord, ExcludedRecord, Reject
from med42lib.readers.fields import mapping, optional_text, text_field, written_number
from med42lib.readers.files import DataFile
from med42lib.readers.parsers import Record, each, json_document, json_lines
from med42lib.readers.publishers.question import Question, checked_options, gold_of_letter, lettered

IMAGE_REASON = "the question is about an image"
_MIN_OPTIONS, _MAX_OPTIONS = 4, 9


def read_usmle_lines(file: DataFile) -> Iterator[Record[Question] | Reject]:
    """Read every question of a file of JSON lines.

    Raises:
        DataError: If the file is not JSON lines.
    """
    return each(json_lines(file), lambda value: _question("", mapping(value), mapping(value).get("answer")))


def read_usmle_step(
    file: DataFile, step: str, solutions: Mapping[str, object], images: Set[str]
) -> Iterator[Record[Question] | Reject]:
    """Read the questions of one step in medAlpaca's layout; a record's line is its number in the document.

    Args:
        file: `step1.json`, or that of another step.
        step: The step's name, `step1`; a question's id is `step1-<no>`.
        solutions: Answer letters by question number; empty if the questions carry their answers.
        images: Numbers of the step's questions that are about an image.

    Raises:
        DataError: If the file is not a JSON document of this layout.
    """
    rows = json_document(file, expected="medAlpaca's list of USMLE questions")
    if not isinstance(rows, list):
        raise DataError(f"{file.name} is not a list of questions: not medAlpaca's layout of the USMLE")
    records = (Record(file.name, line, row) for line, row in enumerate(rows, start=1))
    return each(records, lambda row: _step_question(mapping(row), step, solutions, images))


def usmle_solutions(file: DataFile) -> Mapping[str, object]:
    """Read the answer letters of one step by question number.

    Raises:
        DataError: If the file is not a JSON document of this layout.
    """
    document = json_document(file)
    if not isinstance(document, dict):
        raise DataError(f"{file.name} is not an object of answers by question number: not medAlpaca's layout")
    return document


def usmle_images(file: DataFile) -> dict[str, Set[str]]:
    """Read which questions are about images, by step.

    Raises:
        DataError: If the file is not a JSON document of this layout.
    """
    document = json_document(file)
    try:
        return {step: {_number(no) for no in numbers} for step, numbers in document.items()}
    except (AttributeError, TypeError, BadRecord):
        raise DataError(f"{file.name} is not an object of question numbers by step: not medAlpaca's layout") from None


def _step_question(row: Mapping[str, Any], step: str, solutions: Mapping[str, object], images: Set[str]) -> Question:
    number = _number(row.get("no"))
    if number in images:
        raise ExcludedRecord(IMAGE_REASON)
    answers = [answer for answer in (row.get("answer"), solutions.get(number)) if answer not in (None, "")]
    question = _question(f"{step}-{number}", row, answers[0] if answers else None)
    if len(answers) > 1 and _letter(answers[1]) != _letter(answers[0]):
        raise BadRecord("the question's answer and the solutions disagree", f"{answers[0]!r} and {answers[1]!r}")
    return question


def _question(publisher_id: str, row: Mapping[str, Any], answer: object) -> Question:
    text = text_field(row, "question")
    options = _options(row.get("options"))
    gold = gold_of_letter(_letter(answer), len(options), field="answer")
    return Question(publisher_id, text, options, gold, explanation=optional_text(row, "explanation"))


def _options(options: object) -> tuple[str, ...]:
    if options in ({}, []):
        raise ExcludedRecord("the question's options are not text")
    if isinstance(options, dict):
        options = lettered(options)
    if not isinstance(options, list):
        raise BadRecord("options is neither an object nor a list", repr(options))
    if not _MIN_OPTIONS <= len(options) <= _MAX_OPTIONS:
        raise BadRecord(f"a USMLE question has {_MIN_OPTIONS} to {_MAX_OPTIONS} options", f"it has {len(options)}")
    return checked_options(options)


def _letter(answer: object) -> object:
    """Take an answer as a capital: both cases occur in copies of these files."""
    return answer.strip().upper() if isinstance(answer, str) else answer


def _number(value: object) -> str:
    """Write a question's number, which is a number in some files and digits in others, in one way."""
    number = written_number(value)
    if isinstance(number, bool) or not isinstance(number, int):
        raise BadRecord("no is not a question's number", repr(value))
    return str(number)
