"""MedQA: the train and dev splits of US licensing questions, in four options or in five.

    publisher    questions/US/4_options/phrases_no_exclude_{train,dev}.jsonl, or with five options
                 questions/US/{train,dev}.jsonl:
                     {"question": "A 23-year-old pregnant woman …", "answer": "Nitrofurantoin",
                      "options": {"A": "Ampicillin", …, "D": "Nitrofurantoin"}, "answer_idx": "D", …}
    hub          the repository named below, train.json and dev.json:
                     {"id": "train-00000", "sent1": "A 23-year-old …", "sent2": "", "ending0": "Ampicillin", …,
                      "ending3": "Nitrofurantoin", "label": 3}
                 or GBaker/MedQA-USMLE-4-options, which has the publisher's columns, but no dev split

`path` is the folder that holds the splits, or one of its files; a test split is never read. The two numbers of options
are the same questions: use one. There are no explanations.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from med42lib.assemble.conversations.templates import choice_conversation
from med42lib.assemble.source import Conversation, ReadOptions, SourceLayout, TrainingSource
from med42lib.core.errors import DataError
from med42lib.formats.rejects import Reject
from med42lib.readers.files import DataFolder
from med42lib.readers.hf_layout import table_rows
from med42lib.readers.parsers import Record, each
from med42lib.readers.publishers.medqa import FACTS, medqa_rows_of_hub, read_medqa
from med42lib.readers.split_guard import guard_split, refuse_scored_split

HELD_OUT = ("test",)
_FILES = ("phrases_no_exclude_train.jsonl", "phrases_no_exclude_dev.jsonl", "train.jsonl", "dev.jsonl")


def read(folder: DataFolder, path: str, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    """Read the publisher's train and dev files in the folder `path`, or the file `path`."""
    for name in _names(folder, path):
        yield from each(read_medqa(folder.file(name)), lambda question: choice_conversation(question, read_options))


def _names(folder: DataFolder, path: str) -> list[str]:
    if folder.has_file(path):
        refuse_scored_split(path, HELD_OUT)
        return [path]
    names = [(PurePosixPath(path) / file).as_posix() for file in _FILES]
    there = [name for name in names if folder.has_file(name)]
    if not there:
        raise DataError(f"{folder.address}/{path} has none of {', '.join(_FILES)}; name the folder that holds them")
    return there


def read_hub(folder: DataFolder, path: str, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    """Read the hub's train split at `path`, and its validation split where there is one."""
    rows = guard_split(table_rows(folder, path, splits=("train", "validation")), HELD_OUT)
    return each(medqa_rows_of_hub(rows), lambda question: choice_conversation(question, read_options))


SOURCE = TrainingSource(
    name="medqa",
    title="MedQA (US)",
    domain="medical",
    facts=FACTS,
    settings=("multiple_choice",),
    publisher=SourceLayout("medqa/questions/US/4_options", read),
    huggingface=SourceLayout("medqa_hf", read_hub, repository="GBaker/MedQA-USMLE-4-options-hf"),
    num_paper=11_290,
    num_paper_origin="10,178 of the train split + 1,272 of the dev split = 11,450, × 0.986: 1.4 % lost, as in most "
    "sources, to a filter not described",
    tokens_per_row=255,  # measured on the 1,273 test questions
    left_out="the test split, which benchmarks score; questions about figures that are not there",
)
