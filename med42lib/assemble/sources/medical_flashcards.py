"""Medical Flashcards of medAlpaca: one JSON list of instruction, input and output.

Nearly all rows carry the same instruction, "Answer this question truthfully", which adds nothing to a question and is
left out, so that a card reads as a benchmark's question does. Any other instruction stays before its question.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from med42lib.assemble.source import Draft, Form, Layout, TrainingSource
from med42lib.assemble.templates import question_draft
from med42lib.core.errors import DataError
from med42lib.core.fields import mapping, optional_text, text_field
from med42lib.core.reading import DataFile, DataFolder, Record, each, json_document
from med42lib.core.rejects import Reject

USUAL_INSTRUCTION = "Answer this question truthfully"


def read(folder: DataFolder, path: str, form: Form) -> Iterator[Record[Draft] | Reject]:
    """Read the JSON list at `path`; a record's line is its number in the list."""
    return each(_cards(folder.file(path)), _draft)


def _cards(file: DataFile) -> Iterator[Record[Any]]:
    cards = json_document(file)
    if not isinstance(cards, list):
        raise DataError(f"{file.name} is not a list of cards: not the layout of medAlpaca")
    for number, card in enumerate(cards, start=1):
        yield Record(file.name, number, card)


def _draft(value: Any) -> Draft:
    card = mapping(value)
    instruction = optional_text(card, "instruction")
    return question_draft(
        text_field(card, "input"),
        text_field(card, "output"),
        instruction="" if instruction.rstrip(".") == USUAL_INSTRUCTION else instruction,
    )


SOURCE = TrainingSource(
    name="medical_flashcards",
    title="Medical Flashcards",
    domain="medical",
    licence="CC (as medAlpaca states); written with GPT-3.5 from Anki decks, so take it as non-commercial",
    attribution="The medAlpaca authors; Anki decks by medical students",
    citation="Han et al. 2023, MedAlpaca: An Open-Source Collection of Medical Conversational AI Models and "
    "Training Data, arXiv:2304.08247",
    publisher=Layout("medical_flashcards/medical_meadow_medical_flashcards.json", read),
    huggingface=Layout("medical_flashcards/medical_meadow_medical_flashcards.json", read),
    num_paper=30_106,
    num_paper_origin="medAlpaca's 33,955 cards × 0.887: validation split and filter",
)
