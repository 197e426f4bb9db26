"""HeadQA in English: the training exams of 2013 and 2014, five options each.

The release holds 2,657 questions, as many as Table A1 of the paper; 68 of them are about images and are left out here,
which leaves 2,589. The paper seems to have kept them.
"""

from __future__ import annotations

from collections.abc import Iterator

from med42lib.assemble.source import Draft, Form, Layout, TrainingSource
from med42lib.assemble.templates import choice_draft
from med42lib.core.publishers.headqa import read_headqa
from med42lib.core.reading import DataFolder, Record, each
from med42lib.core.rejects import Reject


def read(folder: DataFolder, path: str, form: Form) -> Iterator[Record[Draft] | Reject]:
    """Read the publisher's JSON document at `path`."""
    return each(read_headqa(folder.file(path)), lambda question: choice_draft(question, form))


SOURCE = TrainingSource(
    name="headqa",
    title="HeadQA (English)",
    domain="medical",
    licence="Spanish Ministry of Health: reuse with citation and date, no alteration of meaning; code MIT",
    attribution="Ministerio de Sanidad, Consumo y Bienestar Social, last updated 14 January 2019",
    citation="Vilares and Gómez-Rodríguez 2019, HEAD-QA: A Healthcare Dataset for Complex Reasoning, ACL",
    publisher=Layout("headqa/HEAD_EN/train_HEAD_EN.json", read),
    huggingface=Layout("headqa/HEAD_EN/train_HEAD_EN.json", read),
    num_paper=2_657,
    num_paper_origin="the train split untouched: 2,657 questions, those about images among them",
    left_out="questions about images (68 of 2,657)",
)
