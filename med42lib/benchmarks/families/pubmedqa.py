"""PubMedQA: the 500 questions of the official test, answered yes, no or maybe from the abstract.

Where the publisher's list of test ids lies beside the file, only its questions are items, so that `ori_pqal.json`,
which holds the training questions too, gives the official 500 as well.
"""

from __future__ import annotations

from collections.abc import Set

from med42lib.benchmarks.config import BenchmarkConfig
from med42lib.benchmarks.family import Family, Questions
from med42lib.core.publishers.pubmedqa import official_ids_name, official_test_ids, read_pubmedqa
from med42lib.core.publishers.question import Question
from med42lib.core.reading import DataFolder, each
from med42lib.core.rejects import ExcludedRecord


def read(folder: DataFolder, settings: BenchmarkConfig) -> dict[str, Questions]:
    """Read `test_set.json`, or `ori_pqal.json` with the list of test ids beside it."""
    questions = read_pubmedqa(folder.file(settings.path))
    ids_name = official_ids_name(settings.path)
    if folder.has(ids_name):
        test_ids = official_test_ids(folder.file(ids_name))
        questions = each(questions, lambda question: _official(question, test_ids))
    return {"pubmedqa": questions}


def _official(question: Question, test_ids: Set[str]) -> Question:
    if question.publisher_id not in test_ids:
        raise ExcludedRecord("the question is not one of the official test")
    return question


FAMILY = Family(
    name="pubmedqa",
    title="PubMedQA (expert-labelled, test)",
    licence="MIT",
    citation="Jin et al. 2019, PubMedQA: A Dataset for Biomedical Research Question Answering, EMNLP-IJCNLP",
    read=read,
)
