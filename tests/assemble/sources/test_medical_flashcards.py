from pathlib import Path
from typing import Any

import pytest

from med42lib.assemble.source import Conversation, ReadOptions
from med42lib.assemble.sources.medical_flashcards import SOURCE
from med42lib.core.errors import DataError
from med42lib.formats.records import Exchange
from med42lib.readers.files import DataFolder
from med42lib.readers.parsers import Record
from med42lib.store.artifacts import Source

PATH = "medical_flashcards/medical_meadow_medical_flashcards.json"


def card(**changes: Any) -> dict[str, Any]:
    return {"input": "What is X?", "output": "It is Y.", "instruction": "Answer this question truthfully", **changes}


def test_the_usual_instruction_is_left_out_and_any_other_stays(write: Any, conversations: Any) -> None:
    write(PATH, [card(), card(instruction="Be brief"), card(instruction=None)])
    usual, other, none = (conversation.exchanges[0] for conversation in conversations("medical_flashcards"))
    assert usual == none == Exchange("What is X?", "It is Y.")
    assert other == Exchange("Be brief\nWhat is X?", "It is Y.")
    assert {conversation.question for conversation in conversations("medical_flashcards")} == {"What is X?"}


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (card(output=""), "output is blank"),
        (card(input=None), "input is missing"),
        (card(output=["It is Y."]), "output is not text"),
        ("What is X?", "the record is not a JSON object"),
    ],
)
def test_a_broken_card_is_a_reject_and_the_rest_goes_on(
    write: Any, conversations: Any, broken: Any, reason: str
) -> None:
    write(PATH, [broken, card()])
    first, second = conversations("medical_flashcards")
    assert first == ("rejected", reason)
    assert isinstance(second, Conversation)


def test_another_layout_gives_rejects_that_name_the_field(write: Any, conversations: Any) -> None:
    write(PATH, {"cards": []})
    assert conversations("medical_flashcards") == [("rejected", "input is missing")]


def test_the_hubs_parquet_gives_the_same_cards(write: Any, conversations: Any) -> None:
    cards = [card(), card(input="What is Z?", instruction="Be brief.")]
    write(PATH, cards)
    write("cards/data/train-00000-of-00001.parquet", cards)
    assert conversations("medical_flashcards", layout="huggingface", path="cards") == conversations(
        "medical_flashcards"
    )


def test_a_parquet_file_with_a_broken_footer_fails(write: Any, conversations: Any) -> None:
    path = write("medical_flashcards/train.parquet", [card()])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="not a whole Parquet file"):
        conversations("medical_flashcards", layout="huggingface")


def test_the_real_rows_give_the_stated_counts(real_data: Path) -> None:
    """Of the flashcards only row 0 is here; another set of the same publisher in the same schema has 5,942 rows."""
    folder = DataFolder(Source(str(real_data / "raw")))
    for path, count in (("medical_flashcards/first_row.json", 1), ("medalpaca/medical_meadow_small.json", 5_942)):
        records = list(SOURCE.publisher.read(folder, path, ReadOptions("letters")))
        assert len(records) == count
        assert all(isinstance(r, Record) and r.value.exchanges[0].prompter == r.value.question for r in records)
