from typing import Any

import pytest

from med42lib.assemble.source import Draft
from med42lib.core.errors import DataError
from med42lib.core.records import Exchange

PATH = "medical_flashcards/medical_meadow_medical_flashcards.json"


def card(**changes: Any) -> dict[str, Any]:
    return {"input": "What is X?", "output": "It is Y.", "instruction": "Answer this question truthfully", **changes}


def test_the_usual_instruction_is_left_out_and_any_other_stays(write: Any, drafts: Any) -> None:
    write(PATH, [card(), card(instruction="Be brief"), card(instruction=None)])
    usual, other, none = (draft.exchanges[0] for draft in drafts("medical_flashcards"))
    assert usual == none == Exchange("What is X?", "It is Y.")
    assert other == Exchange("Be brief\nWhat is X?", "It is Y.")
    assert {draft.question for draft in drafts("medical_flashcards")} == {"What is X?"}


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (card(output=""), "output is blank"),
        (card(input=None), "input is missing"),
        (card(output=["It is Y."]), "output is not text"),
        ("What is X?", "the record is not a JSON object"),
    ],
)
def test_a_broken_card_is_a_reject_and_the_rest_goes_on(write: Any, drafts: Any, broken: Any, reason: str) -> None:
    write(PATH, [broken, card()])
    first, second = drafts("medical_flashcards")
    assert first == ("rejected", reason)
    assert isinstance(second, Draft)


def test_another_layout_fails(write: Any, drafts: Any) -> None:
    write(PATH, {"cards": []})
    with pytest.raises(DataError, match="not a list of cards"):
        drafts("medical_flashcards")
