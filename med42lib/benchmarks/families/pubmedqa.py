"""PubMedQA: the 500 questions of the official test, answered yes, no or maybe from the abstract.

The publisher's `test_set.json` holds them alone. `ori_pqal.json` and the hub's `pqa_labeled` hold the training
questions too, in no order that tells them apart; there the publisher's list of test ids, `test_ground_truth.json`,
must lie beside.
"""

from __future__ import annotations

from collections.abc import Set
from itertools import islice

from med42lib.benchmarks.config import BenchmarkConfig
from med42lib.benchmarks.family import Family, Questions
from med42lib.core.errors import DataError
from med42lib.formats.rejects import ExcludedRecord
from med42lib.readers.files import DataFolder
from med42lib.readers.hf_layout import table_rows
from med42lib.readers.parsers import each
from med42lib.readers.publishers.pubmedqa import (
    FACTS,
    TEST_IDS_FILE,
    official_ids_name,
    official_ids_name_of_hub,
    official_test_ids,
    pubmedqa_rows_of_hub,
    read_pubmedqa,
)
from med42lib.readers.publishers.question import Question

NUM_OFFICIAL = 500


def read(folder: DataFolder, settings: BenchmarkConfig) -> dict[str, Questions]:
    """Read the official test questions.

    Raises:
        DataError: If there is no list of test ids where it is needed.
    """
    return {"pubmedqa": (_read_hub if settings.layout == "huggingface" else _read_published)(folder, settings.path)}


def _read_published(folder: DataFolder, path: str) -> Questions:
    questions = read_pubmedqa(folder.file(path))
    ids_name = official_ids_name(path)
    if not folder.has_file(ids_name):
        return _all_official(questions, path)
    test_ids = official_test_ids(folder.file(ids_name))
    return each(questions, lambda question: _official(question, test_ids))


def _read_hub(folder: DataFolder, path: str) -> Questions:
    test_ids = official_test_ids(folder.file(official_ids_name_of_hub(folder, path)))
    # The hub's one split is called train; it is the list of ids that makes a test of it.
    return each(pubmedqa_rows_of_hub(table_rows(folder, path)), lambda question: _official(question, test_ids))


def _all_official(questions: Questions, path: str) -> Questions:
    """Take questions without a list of test ids: no more than the official test can have."""
    yield from islice(questions, NUM_OFFICIAL)
    if next(questions, None) is not None:
        raise DataError(
            f"{path} holds more than the {NUM_OFFICIAL} questions of the official test, so training questions are "
            f"among them; lay the publisher's {TEST_IDS_FILE} beside it"
        )


def _official(question: Question, test_ids: Set[str]) -> Question:
    if question.publisher_id not in test_ids:
        raise ExcludedRecord("the question is not one of the official test")
    return question


FAMILY = Family(
    name="pubmedqa",
    title="PubMedQA (expert-labelled, test)",
    facts=FACTS,
    read=read,
)
