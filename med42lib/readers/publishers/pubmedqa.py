"""PubMedQA (Jin et al. 2019): research questions on abstracts, in two layouts.

    publisher    one JSON document
        {"<pmid>": {"QUESTION": ..., "CONTEXTS": [...], "LONG_ANSWER": ..., "final_decision": "yes"}, ...}
    hub          one row per question
        {"pubid": 21645374, "question": ..., "context": {"contexts": [...], ...}, "long_answer": ...,
         "final_decision": "yes"}

`ori_pqal.json` and the hub's `pqa_labeled` hold all 1,000 expert-labelled questions, the 500 of the official test among
them and in no order that tells them apart; the publisher's `test_ground_truth.json` names those by their PMIDs. The
hub does not have that file: it must be laid beside. LONG_ANSWER is the abstract's conclusion: it answers the
question, so no prompt may show it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from pathlib import PurePosixPath
from typing import Any

from med42lib.core.errors import DataError
from med42lib.formats.rejects import BadRecord, Reject
from med42lib.readers.data_set import PublisherFacts
from med42lib.readers.fields import mapping, optional_text, text_field, text_value
from med42lib.readers.files import DataFile, DataFolder
from med42lib.readers.hf_layout import Rows
from med42lib.readers.parsers import Record, each, json_document
from med42lib.readers.publishers.question import Question, id_field

FACTS = PublisherFacts(
    licence="MIT",
    attribution="The PubMedQA authors; abstracts from PubMed",
    citation="Jin et al. 2019, PubMedQA: A Dataset for Biomedical Research Question Answering, EMNLP-IJCNLP",
    whole_on_hub=False,
)

DECISIONS = ("yes", "no", "maybe")
TEST_IDS_FILE = "test_ground_truth.json"


def read_pubmedqa(file: DataFile) -> Iterator[Record[Question] | Reject]:
    """Read every question of the file; lines and errors as in `pubmedqa_records`."""
    return each(pubmedqa_records(file), _published)


def pubmedqa_records(file: DataFile) -> Iterator[Record[Any]]:
    """Read the document's records, each with its PMID; a record's line is its number in the document.

    Raises:
        DataError: If the file is not a JSON document of this layout.
    """
    return (
        Record(file.name, number, {"PMID": pmid, **row} if isinstance(row, dict) else row)
        for number, (pmid, row) in enumerate(_by_pmid(file).items(), start=1)
    )


def pubmedqa_rows_of_hub(rows: Rows) -> Iterator[Record[Question] | Reject]:
    """Read the hub's rows."""
    return each(rows, _on_hub)


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


def official_ids_name_of_hub(folder: DataFolder, path: str) -> str:
    """Name the file of official test ids that belongs to what `table_rows` reads: it lies in the folder with it."""
    return (PurePosixPath(folder.folder_of(path)) / TEST_IDS_FILE).as_posix()


def _by_pmid(file: DataFile) -> dict[str, Any]:
    document = json_document(file, expected="PubMedQA's document, an object of questions by PMID")
    if not isinstance(document, dict):
        raise DataError(f"{file.name} is not an object of questions by PMID: not the layout of PubMedQA")
    return document


def _published(value: Any) -> Question:
    row = mapping(value)
    return Question(
        publisher_id=text_field(row, "PMID"),
        text=text_field(row, "QUESTION"),
        options=DECISIONS,
        gold=_decision(row),
        context=_joined(row, "CONTEXTS"),
        explanation=optional_text(row, "LONG_ANSWER"),
    )


def _on_hub(value: Any) -> Question:
    row = mapping(value)
    return Question(
        publisher_id=id_field(row, "pubid"),
        text=text_field(row, "question"),
        options=DECISIONS,
        gold=_decision(row),
        context=_joined(mapping(row.get("context")), "contexts"),
        explanation=optional_text(row, "long_answer"),
    )


def _decision(row: Mapping[str, Any]) -> int:
    decision = text_field(row, "final_decision")
    if decision not in DECISIONS:
        raise BadRecord("the answer is outside the options", f"final_decision = {decision!r}")
    return DECISIONS.index(decision)


def _joined(row: Mapping[str, Any], key: str) -> str:
    paragraphs = row.get(key)
    if not isinstance(paragraphs, list) or not paragraphs:
        raise BadRecord(f"{key} is not a list of paragraphs", repr(paragraphs))
    return "\n".join([text_value(paragraph, key) for paragraph in paragraphs])
