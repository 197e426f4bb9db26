"""HeadQA in English: the training exams of 2013 and 2014, five options each.

    publisher    HEAD_EN/train_HEAD_EN.json, one document:  {"exams": {"Cuaderno_2013_1_B": {"data": [
                     {"qid": "1", "qtext": "The excitatory …", "ra": "3", "answers": [{"aid": 1, "atext": "…"}, …],
                      "image": ""}, …]}, …}}
    hub          en/train-*.parquet, one row per question:  {"name": "Cuaderno_2013_1_B", "qid": 1, "qtext": "The …",
                     "ra": 3, "answers": [{"aid": 1, "atext": "…"}, …], "image": null, …}

The release holds 2,657 questions, as many as Table A1 of the paper; 68 of them are about images and are left out here,
which leaves 2,589. The paper seems to have kept them. Test exams are never read.
"""

from __future__ import annotations

from collections.abc import Iterator

from med42lib.assemble.conversations.templates import choice_conversation
from med42lib.assemble.source import Conversation, ReadOptions, SourceLayout, TrainingSource
from med42lib.formats.rejects import Reject
from med42lib.readers.files import DataFolder
from med42lib.readers.hf_layout import table_rows
from med42lib.readers.parsers import Record, each
from med42lib.readers.publishers.headqa import FACTS, headqa_records, headqa_rows_of_hub, read_headqa
from med42lib.readers.split_guard import guard_split, refuse_scored_split

HELD_OUT = ("test",)


def read(folder: DataFolder, path: str, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    """Read the publisher's JSON document at `path`.

    Raises:
        DataError: If it is the test exams'.
    """
    refuse_scored_split(path, HELD_OUT)
    return each(read_headqa(folder.file(path)), lambda question: choice_conversation(question, read_options))


def read_hub(folder: DataFolder, path: str, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    """Read the hub's train split at `path`."""
    rows = guard_split(table_rows(folder, path), HELD_OUT)
    return each(headqa_rows_of_hub(rows), lambda question: choice_conversation(question, read_options))


SOURCE = TrainingSource(
    name="headqa",
    title="HeadQA (English)",
    domain="medical",
    facts=FACTS,
    settings=("multiple_choice",),
    publisher=SourceLayout("headqa/HEAD_EN/train_HEAD_EN.json", read, records=headqa_records),
    huggingface=SourceLayout("headqa_hf/en", read_hub, repository="EleutherAI/headqa", hub_path="en"),
    num_paper=2_657,
    num_paper_origin="the train split untouched: 2,657 questions, those about images among them",
    tokens_per_row=120,  # measured on 2,589 rows
    left_out="questions about images (68 of 2,657)",
)
