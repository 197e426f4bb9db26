from typing import Any

import pytest

from med42lib.core.publishers.medqa import read_medqa
from med42lib.core.publishers.question import Question


def row(**changes: Any) -> dict[str, Any]:
    options = {"A": "one", "B": "two", "C": "three", "D": "four"}
    return {"question": "Which?", "options": options, "answer_idx": "B", "answer": "two", **changes}


def test_four_options_and_five_are_read(make: Any, outcome: Any) -> None:
    five = row(options={**row()["options"], "E": "five"}, answer_idx="E", answer="five")
    assert outcome(read_medqa(make("test.jsonl", [row(), five]))) == [
        Question("", "Which?", ("one", "two", "three", "four"), 1),
        Question("", "Which?", ("one", "two", "three", "four", "five"), 4),
    ]


def test_options_come_by_their_letters_whatever_their_order_in_the_file(make: Any, outcome: Any) -> None:
    turned = row(options={"B": "two", "A": "one"})
    assert outcome(read_medqa(make("test.jsonl", [turned]))) == [Question("", "Which?", ("one", "two"), 1)]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (row(answer="three"), "answer and answer_idx disagree"),
        (row(answer_idx="E"), "the answer is outside the options"),
        (row(answer_idx=None), "the question has no answer"),
        (row(answer=None), "answer is missing"),
        (row(options={"A": "one", "C": "three"}), "the options are not lettered A, B, C, …"),
        (row(options=["one", "two"]), "the record is not a JSON object"),
        (row(options={"A": "one", "B": ""}), "an option is blank"),
        (row(question=None), "question is missing"),
    ],
)
def test_a_broken_question_is_a_reject_and_the_rest_goes_on(make: Any, outcome: Any, broken: Any, reason: str) -> None:
    first, second = outcome(read_medqa(make("test.jsonl", [broken, row()])))
    assert first == ("rejected", reason)
    assert isinstance(second, Question)
