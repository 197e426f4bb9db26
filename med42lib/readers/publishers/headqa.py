"""HEAD-QA (Vilares and Gómez-Rodríguez 2019): exams of the Spanish health system, in two layouts.

    publisher    one JSON document
        {"exams": {"<exam>": {"category": "biology",
                              "data": [{"qid": "1", "qtext": ..., "ra": "3", "image": "",
                                        "answers": [{"aid": 1, "atext": ...}, ...]}, ...]}}}
    hub          one row per question; numbers are numbers, and `image` is null or a picture
        {"name": "<exam>", "category": "biology", "qid": 1, "qtext": ..., "ra": 3, "image": null, "answers": [...], ...}

`ra` counts from 1 in both. Training exams have five options, later ones four. A question about an image is excluded:
without the image it cannot be answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from med42lib.core.errors import DataError
from med42lib.formats.rejects import BadRecord, ExcludedRecord, Reject
from med42lib.readers.data_set import PublisherFacts
from med42lib.readers.fields import mapping, optional_text, text_field
from med42lib.readers.files import DataFile
from med42lib.readers.hf_layout import Rows
from med42lib.readers.parsers import Record, each, json_document
from med42lib.readers.publishers.question import Question, checked_options, gold_of_number, id_field

FACTS = PublisherFacts(
    licence="Spanish Ministry of Health: reuse with citation and date, no alteration of meaning; code MIT",
    attribution="Ministerio de Sanidad, Consumo y Bienestar Social, last updated 14 January 2019",
    citation="Vilares and Gómez-Rodríguez 2019, HEAD-QA: A Healthcare Dataset for Complex Reasoning, ACL",
)

IMAGE_REASON = "the question is about an image"


def read_headqa(file: DataFile) -> Iterator[Record[Question] | Reject]:
    """Read the questions of all exams; lines and errors as in `headqa_records`."""
    return each(headqa_records(file), _published)


def headqa_rows_of_hub(rows: Rows) -> Iterator[Record[Question] | Reject]:
    """Read the hub's rows."""
    return each(rows, _on_hub)


def headqa_records(file: DataFile) -> Iterator[Record[Any]]:
    """Read the document's records, each with its exam and that exam's subject; a record's line is its number in it.

    Raises:
        DataError: If the file is not a JSON document of this layout.
    """
    number = 0
    for exam, rows in _exams(file):
        for row in rows:
            number += 1
            yield Record(file.name, number, {**row, **exam} if isinstance(row, dict) else row)


def _exams(file: DataFile) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    """Give each exam's name and subject, as fields of its records, and these."""
    document = json_document(file, expected='HEAD-QA\'s document, {"exams": {...}}')
    try:
        exams = [(name, exam.get("category"), exam["data"]) for name, exam in document["exams"].items()]
    except (KeyError, TypeError, AttributeError):
        raise DataError(f"{file.name} has no exams with data in it: not the layout of HEAD-QA") from None
    for name, category, rows in exams:
        if not isinstance(rows, list):
            raise DataError(f"{file.name}: the data of exam {name!r} is not a list: not the layout of HEAD-QA")
        yield {"exam": name, **({"category": category} if category else {})}, rows


def _published(value: Any) -> Question:
    row = mapping(value)
    if row.get("image"):
        raise ExcludedRecord(IMAGE_REASON)
    return _question(row, exam=text_field(row, "exam"), number=text_field(row, "qid"))


def _on_hub(value: Any) -> Question:
    row = mapping(value)
    image = row.get("image")
    if any(image.values()) if isinstance(image, dict) else image:
        raise ExcludedRecord(IMAGE_REASON)
    return _question(row, exam=text_field(row, "name"), number=id_field(row, "qid"))


def _question(row: Mapping[str, Any], *, exam: str, number: str) -> Question:
    text = text_field(row, "qtext")
    options = checked_options(_in_order(row.get("answers")))
    gold = gold_of_number(row.get("ra"), len(options), field="ra")
    return Question(f"{exam}-{number}", text, options, gold, subject=optional_text(row, "category"))


def _in_order(answers: object) -> list[Any]:
    """Take the option texts, making sure that `ra`, which names an `aid`, is also a position."""
    if not isinstance(answers, list) or not all(isinstance(answer, dict) for answer in answers):
        raise BadRecord("answers is not a list of options", repr(answers))
    numbers = [answer.get("aid") for answer in answers]
    if numbers != list(range(1, len(answers) + 1)):
        raise BadRecord("the options are not numbered 1, 2, 3, …", f"aid = {numbers}")
    return [answer.get("atext") for answer in answers]
