"""PubMedQA's expert-labelled questions, less the 500 of the official test: 500 remain.

    publisher    ori_pqal.json, one document:  {"21645374": {"QUESTION": "Do mitochondria play a role …?",
                     "CONTEXTS": ["…", "…"], "LONG_ANSWER": "Results depicted …", "final_decision": "yes", …}, …}
    hub          pqa_labeled/train-*.parquet:  {"pubid": 21645374, "question": "Do mitochondria …?",
                     "context": {"contexts": ["…", "…"], …}, "long_answer": "Results …", "final_decision": "yes"}

The publisher's `test_ground_truth.json`, which names the official test questions, must lie beside the questions, or
nothing is read: half of them are evaluation items. The hub has no such file, so its rows can be read from the data
folder only, with the file laid in. Table A1 of the paper has 499; which one it left out is not known.
"""

from __future__ import annotations

from collections.abc import Iterator

from med42lib.assemble.conversations.templates import choice_conversation
from med42lib.assemble.source import Conversation, ReadOptions, SourceLayout, TrainingSource
from med42lib.core.errors import DataError
from med42lib.formats.rejects import ExcludedRecord, Reject
from med42lib.readers.files import DataFolder
from med42lib.readers.hf_layout import table_rows
from med42lib.readers.parsers import Record, each
from med42lib.readers.publishers.pubmedqa import (
    FACTS,
    official_ids_name,
    official_ids_name_of_hub,
    official_test_ids,
    pubmedqa_records,
    pubmedqa_rows_of_hub,
    read_pubmedqa,
)
from med42lib.readers.publishers.question import Question

Questions = Iterator[Record[Question] | Reject]


def read(folder: DataFolder, path: str, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    """Read `ori_pqal.json` at `path`, less the official test."""
    return _less_the_test(folder, official_ids_name(path), read_pubmedqa(folder.file(path)), read_options)


def read_hub(folder: DataFolder, path: str, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    """Read the hub's `pqa_labeled` at `path`, less the official test."""
    rows = table_rows(folder, path)
    return _less_the_test(folder, official_ids_name_of_hub(folder, path), pubmedqa_rows_of_hub(rows), read_options)


def _less_the_test(
    folder: DataFolder, ids_name: str, questions: Questions, read_options: ReadOptions
) -> Iterator[Record[Conversation] | Reject]:
    if not folder.has_file(ids_name):
        raise DataError(
            f"{folder.address} has no {ids_name!r}, the publisher's list of official test questions; without it "
            "nothing is read, since half of the questions are evaluation items: copy it there from the publisher"
        )
    test_ids = official_test_ids(folder.file(ids_name))

    def conversation(question: Question) -> Conversation:
        if question.publisher_id in test_ids:
            raise ExcludedRecord("the question belongs to the official test")
        return choice_conversation(question, read_options)

    return each(questions, conversation)


SOURCE = TrainingSource(
    name="pubmedqa",
    title="PubMedQA",
    domain="medical",
    facts=FACTS,
    settings=("multiple_choice", "explanations"),
    publisher=SourceLayout("pubmedqa/ori_pqal.json", read, records=pubmedqa_records),
    huggingface=SourceLayout(
        "pubmedqa_hf/pqa_labeled", read_hub, repository="qiaojin/PubMedQA", hub_path="pqa_labeled"
    ),
    num_paper=499,
    num_paper_origin="the 500 expert-labelled questions outside the official test, less one that is unexplained",
    tokens_per_row=470,  # measured on all 500 rows
    left_out="the 500 questions of the official test",
)
