from typing import Any

import pytest

from med42lib.readers.publishers.medqa import medqa_rows_of_hub, read_medqa
from med42lib.readers.publishers.question import Question


def row(**changes: Any) -> dict[str, Any]:
    options = {"A": "one", "B": "two", "C": "three", "D": "four"}
    return {"question": "Which?", "options": options, "answer_idx": "B", "answer": "two", **changes}


def test_four_options_and_five_are_read(make: Any, outcome: Any) -> None:
    five = row(options={**row()["options"], "E": "five"}, answer_idx="E", answer="five")
    assert outcome(read_medqa(make("test.jsonl", [row(), five]))) == [
        Question("", "Which?", ("one", "two", "three", "four"), 1),
        Question("", "Which?", ("one", "two", "three", "four", "five"), 4),
    ]


def test_bigbios_list_of_keys_and_values_gives_the_same_question(make: Any, outcome: Any, rows: Any) -> None:
    listed = row(options=[{"key": key, "value": value} for key, value in row()["options"].items()][::-1])
    expected = outcome(read_medqa(make("test.jsonl", [row()])))
    assert outcome(read_medqa(make("test.jsonl", [listed]))) == expected
    assert outcome(medqa_rows_of_hub(rows(listed))) == expected


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
        (row(options=["one", "two"]), "options are neither under their letters nor a list of key and value"),
        (
            row(options=[{"key": "A", "value": "one"}] * 2),
            "options are neither under their letters nor a list of key and value",
        ),
        (row(options=[{"key": "A", "value": "one"}, {"key": "B"}]), "an option is missing"),
        (row(options={"A": "one", "B": ""}), "an option is blank"),
        (row(question=None), "question is missing"),
    ],
)
def test_a_broken_question_is_a_reject_and_the_rest_goes_on(make: Any, outcome: Any, broken: Any, reason: str) -> None:
    first, second = outcome(read_medqa(make("test.jsonl", [broken, row()])))
    assert first == ("rejected", reason)
    assert isinstance(second, Question)


def test_mediqs_vignette_which_stands_apart_comes_before_the_question(make: Any, outcome: Any) -> None:
    apart = [row(context=["A man coughs.", " He smokes. "]), row(context="A man coughs."), row(context=[])]
    assert [question.text for question in outcome(read_medqa(make("dev.jsonl", apart)))] == [
        "A man coughs. He smokes. Which?",
        "A man coughs. Which?",
        "Which?",
    ]


@pytest.mark.parametrize(
    ("context", "reason"),
    [
        ([1], "context is not text"),
        (["A man.", ""], "context is blank"),
        ({"a": "b"}, "context is neither text nor a list of sentences"),
    ],
)
def test_a_vignette_that_is_not_sentences_is_a_reject(make: Any, outcome: Any, context: Any, reason: str) -> None:
    assert outcome(read_medqa(make("dev.jsonl", [row(context=context)]))) == [("rejected", reason)]


def endings(**changes: Any) -> dict[str, Any]:
    texts = {"ending0": "one", "ending1": "two", "ending2": "three", "ending3": "four"}
    return {"id": "train-00000", "sent1": "Which?", "sent2": "", **texts, "label": 1, **changes}


def test_both_of_the_hubs_layouts_give_the_same_questions(rows: Any, outcome: Any) -> None:
    options = ("one", "two", "three", "four")
    assert outcome(medqa_rows_of_hub(rows(row(), endings(), endings(sent2="Or?", label=0)))) == [
        Question("", "Which?", options, 1),
        Question("train-00000", "Which?", options, 1),
        Question("train-00000", "Which? Or?", options, 0),
    ]


def test_a_null_fifth_option_is_none(rows: Any, outcome: Any) -> None:
    four = row(options={**row()["options"], "E": None})
    five = row(options={**row()["options"], "E": "five"})
    assert [len(q.options) for q in outcome(medqa_rows_of_hub(rows(four, five)))] == [4, 5]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (row(answer="three"), "answer and answer_idx disagree"),
        (row(options={**row()["options"], "D": None}), "an option is missing"),
        (row(options=None), "options are neither under their letters nor a list of key and value"),
        (endings(label=4), "the answer is outside the options"),
        (endings(label=-1), "the question has no answer"),
        (endings(ending3=" "), "an option is blank"),
        (endings(sent1=None), "sent1 is missing"),
        ("text", "the record is not a JSON object"),
    ],
)
def test_a_broken_row_of_the_hub_is_a_reject(rows: Any, outcome: Any, broken: Any, reason: str) -> None:
    assert outcome(medqa_rows_of_hub(rows(broken))) == [("rejected", reason)]
