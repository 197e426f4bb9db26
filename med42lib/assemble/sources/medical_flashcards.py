"""Medical Flashcards of medAlpaca: one JSON list, which the hub also has as Parquet.

    {"input": "What is ...?", "output": "It is ...", "instruction": "Answer this question truthfully"}

The hub is where the publisher hands it out, so both layouts hold the same rows. Nearly all carry the same instruction,
"Answer this question truthfully", which adds nothing to a question and is left out, so that a card reads as a
benchmark's question does. Any other instruction stays before its question.
"""

from __future__ import annotations

from collections.abc import Iterator

from med42lib.assemble.conversations.templates import question_conversation
from med42lib.assemble.source import Conversation, ReadOptions, SourceLayout, TrainingSource
from med42lib.formats.rejects import Reject
from med42lib.readers.data_set import PublisherFacts
from med42lib.readers.files import DataFolder
from med42lib.readers.parsers import Record, each
from med42lib.readers.publishers.medalpaca import MedAlpacaRow, read_medalpaca

USUAL_INSTRUCTION = "Answer this question truthfully"
_FILE = "medical_meadow_medical_flashcards.json"


def read(folder: DataFolder, path: str, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    """Read the cards at `path`; in a JSON list, a record's line is its number."""
    return each(read_medalpaca(folder, path), _conversation)


def _conversation(card: MedAlpacaRow) -> Conversation:
    instruction = "" if card.instruction.rstrip(".") == USUAL_INSTRUCTION else card.instruction
    return question_conversation(card.input, card.output, instruction=instruction)


SOURCE = TrainingSource(
    name="medical_flashcards",
    title="Medical Flashcards",
    domain="medical",
    facts=PublisherFacts(
        licence="CC (as medAlpaca states); written with GPT-3.5 from Anki decks, so take it as non-commercial",
        attribution="The medAlpaca authors; Anki decks by medical students",
        citation="Han et al. 2023, MedAlpaca: An Open-Source Collection of Medical Conversational AI Models and "
        "Training Data, arXiv:2304.08247",
    ),
    publisher=SourceLayout(f"medical_flashcards/{_FILE}", read),
    huggingface=SourceLayout(
        "medical_flashcards", read, repository="medalpaca/medical_meadow_medical_flashcards", hub_path=_FILE
    ),
    num_paper=30_106,
    num_paper_origin="medAlpaca's 33,955 cards × 0.887: validation split and filter",
    tokens_per_row=120,  # guessed: a question and two sentences
)
