"""MedMCQA: the train split of Indian medical entrance exams, four options each, most with an explanation.

    publisher    train.json, JSON lines:  {"id": "e9ad821a-…", "question": "Chronic urethral obstruction …",
                     "opa": "…", "opb": "…", "opc": "…", "opd": "…", "cop": 3, "exp": "…", "choice_type": "single",
                     "subject_name": "Anatomy", "topic_name": "…"}
    hub          data/train-*.parquet, the same columns; `cop` is a class label, here 2

The publisher's `cop` counts from 1, the hub's from 0: `layout` says which, and the wrong one rejects a quarter of the
rows. Half of the explanations open with the answer's letter ("Ans. is 'b' i.e., …"): see `explanations`. The validation
split is what every paper scores, so it is never read; the test split has no answers.
"""

from __future__ import annotations

from collections.abc import Iterator

from med42lib.assemble.conversations.templates import choice_conversation
from med42lib.assemble.source import Conversation, ReadOptions, SourceLayout, TrainingSource
from med42lib.formats.rejects import Reject
from med42lib.readers.files import DataFolder
from med42lib.readers.hf_layout import table_rows
from med42lib.readers.parsers import Record, each
from med42lib.readers.publishers.medmcqa import FACTS, medmcqa_rows_of_hub, read_medmcqa
from med42lib.readers.split_guard import guard_split, refuse_scored_split

HELD_OUT = ("validation", "test")


def read(folder: DataFolder, path: str, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    """Read the publisher's JSON lines at `path`.

    Raises:
        DataError: If the file is a held-out split.
    """
    refuse_scored_split(path, HELD_OUT)
    return each(read_medmcqa(folder.file(path)), lambda question: choice_conversation(question, read_options))


def read_hub(folder: DataFolder, path: str, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    """Read the hub's train split at `path`."""
    rows = guard_split(table_rows(folder, path), HELD_OUT)
    return each(medmcqa_rows_of_hub(rows), lambda question: choice_conversation(question, read_options))


SOURCE = TrainingSource(
    name="medmcqa",
    title="MedMCQA",
    domain="medical",
    facts=FACTS,
    settings=("multiple_choice", "explanations"),
    publisher=SourceLayout("medmcqa/train.json", read),
    huggingface=SourceLayout("medmcqa_hf", read_hub, repository="openlifescienceai/medmcqa"),
    num_paper=180_462,
    num_paper_origin="the train split's 182,822 × 0.987: 1.3 % lost, as in most sources, to a filter not described",
    tokens_per_row=144,  # measured on the 4,183 validation questions
    left_out="the validation split, which benchmarks score, and the test split, which has no answers; questions "
    "about figures that are not there, or whose right option stands twice",
)
