"""PubMedQA (Jin et al. 2019): research questions on abstracts, in one JSON document.

    {"<pmid>": {"QUESTION": ..., "CONTEXTS": [...], "LONG_ANSWER": ..., "final_decision": "yes"}, ...}

`ori_pqal.json` holds all 1,000 expert-labelled questions, the 500 of the official test among them;
`test_ground_truth.json` beside it names those by their PMIDs. LONG_ANSWER is the abstract's conclusion: it answers the
question, so no prompt may show it.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from pathlib import PurePosixPath
from typing import Any

from med42lib.core.errors import DataError
from med42lib.core.fields import mapping, optional_text, text_field
from med42lib.core.publishers.question import Question
from med42lib.core.reading import DataFile, Record, each, json_document
from med42lib.core.rejects import BadRecord, Reject

DECISIONS = ("yes", "no", "maybe")
TEST_IDS_FILE = "test_ground_truth.json"


def read_pubmedqa(file: DataFile) -> Iterator[Record[Question] | Reject]:
    """Read every question of the file; a record's line is its number in the document.

    Raises:
        DataError: If the file is not a JSON document of this layout.
    """
    rows = (
        Record(file.name, number, {"PMID": pmid, **row} if isinstance(row, dict) else row)
        for number, (pmid, row) in enumerate(_by_pmid(file).items(), start=1)
    )
    return each(rows, _question)


def official_test_ids(file: DataFile) -> Set[str]:
    """Read the PMIDs of the official test questions.

    Raises:
        DataError: If the file is not a JSON document of this layout, or names none.
    """
    ids = _by_pmid(file).keys()
    if not ids:
        raise DataError(f"{file.name} names no test questions; copy it again from the publisher")
    return ids


def official_ids_name(questions: str) -> str:
    """Name the file of official test ids that belongs to a file of questions: it lies beside it."""
    return (PurePosixPath(questions).parent / TEST_IDS_FILE).as_posix()


def _by_pmid(file: DataFile) -> dict[str, Any]:
    document = json_document(file)
    if not isinstance(document, dict):
        raise DataError(f"{file.name} is not an object of questions by PMID: not the layout of PubMedQA")
    return document


def _question(value: Any) -> Question:
    row = mapping(value)
    decision = text_field(row, "final_decision")
    if decision not in DECISIONS:
        raise BadRecord("the answer is outside the options", f"final_decision = {decision!r}")
    return Question(
        publisher_id=text_field(row, "PMID"),
        text=text_field(row, "QUESTION"),
        options=DECISIONS,
        gold=DECISIONS.index(decision),
        context="\n".join(_contexts(row.get("CONTEXTS"))),
        explanation=optional_text(row, "LONG_ANSWER"),
    )


def _contexts(paragraphs: object) -> list[str]:
    if not isinstance(paragraphs, list) or not paragraphs:
        raise BadRecord("CONTEXTS is not a list of paragraphs", repr(paragraphs))
    return [text_field({"CONTEXTS": paragraph}, "CONTEXTS") for paragraph in paragraphs]
