"""PubMedQA's expert-labelled questions, less the 500 of the official test: 500 remain.

The file that names the official test questions must lie beside the questions; without it nothing is read, since half
of them are evaluation items. Table A1 of the paper has 499; which one it left out is not known.
"""

from __future__ import annotations

from collections.abc import Iterator, Set

from med42lib.assemble.source import Draft, Form, Layout, TrainingSource
from med42lib.assemble.templates import choice_draft
from med42lib.core.publishers.pubmedqa import official_ids_name, official_test_ids, read_pubmedqa
from med42lib.core.publishers.question import Question
from med42lib.core.reading import DataFolder, Record, each
from med42lib.core.rejects import ExcludedRecord, Reject


def read(folder: DataFolder, path: str, form: Form) -> Iterator[Record[Draft] | Reject]:
    """Read `ori_pqal.json` at `path`, less the official test."""
    test_ids = official_test_ids(folder.file(official_ids_name(path)))
    return each(read_pubmedqa(folder.file(path)), lambda question: choice_draft(_not_in(question, test_ids), form))


def _not_in(question: Question, test_ids: Set[str]) -> Question:
    if question.publisher_id in test_ids:
        raise ExcludedRecord("the question belongs to the official test")
    return question


SOURCE = TrainingSource(
    name="pubmedqa",
    title="PubMedQA",
    domain="medical",
    licence="MIT",
    attribution="The PubMedQA authors; abstracts from PubMed",
    citation="Jin et al. 2019, PubMedQA: A Dataset for Biomedical Research Question Answering, EMNLP-IJCNLP",
    publisher=Layout("pubmedqa/ori_pqal.json", read),
    huggingface=Layout("pubmedqa/ori_pqal.json", read),
    num_paper=499,
    num_paper_origin="the 500 expert-labelled questions outside the official test, less one that is unexplained",
    left_out="the 500 questions of the official test",
)
