from typing import Any

import pytest

from med42lib.readers.publishers.mmlu import mmlu_rows_of_hub, read_mmlu, topic_of
from med42lib.readers.publishers.question import Question

HEADER = "question,choice0,choice1,choice2,choice3,answer\n"
BOTH = [Question("", "Which, then?", ("a", "b", "c", "d"), 1), Question("", "What?", ("e", "f", "g", "h"), 3)]


def test_both_layouts_give_the_same_questions(make: Any, outcome: Any) -> None:
    published = make("anatomy_test.csv", '"Which, then?",a,b,c,d,B\nWhat?,e,f,g,h,D\n')
    reexported = make("re_test.csv", HEADER + '"Which, then?",a,b,c,d,1\nWhat?,e,f,g,h,3\n')
    assert outcome(read_mmlu(published)) == outcome(read_mmlu(reexported)) == BOTH


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("What?,e,f,g,h,0\n", "the answer is outside the options"),
        ("What?,e,f,g,h,E\n", "the answer is outside the options"),
        ("What?,e,f,g,h,\n", "the question has no answer"),
        ("What?,e,f,g,A\n", "the row has another number of cells than a question needs"),
        (" ,e,f,g,h,A\n", "the question is blank"),
        ("What?,e,,g,h,A\n", "an option is blank"),
    ],
)
def test_a_broken_row_is_a_reject_and_the_rest_goes_on(make: Any, outcome: Any, row: str, reason: str) -> None:
    assert outcome(read_mmlu(make("a_test.csv", row + '"Which, then?",a,b,c,d,B\n'))) == [
        ("rejected", reason),
        BOTH[0],
    ]


@pytest.mark.parametrize("answer", ["A", "4", "-1"])
def test_in_the_reexport_only_numbers_are_answers(make: Any, outcome: Any, answer: str) -> None:
    file = make("a_test.csv", f"{HEADER}What?,e,f,g,h,{answer}\n")
    assert outcome(read_mmlu(file)) == [("rejected", "the answer is outside the options")]


def test_an_empty_file_has_no_questions(make: Any) -> None:
    assert list(read_mmlu(make("a_test.csv", ""))) == []


def test_the_topic_is_the_file_name_without_its_split() -> None:
    assert topic_of("mmlu/test/college_medicine_test.csv") == "college_medicine"


def hub_row(**changes: Any) -> dict[str, Any]:
    return {"question": "What?", "subject": "anatomy", "choices": ["e", "f", "g", "h"], "answer": 3, **changes}


def test_the_hubs_rows_give_the_same_questions(rows: Any, outcome: Any) -> None:
    assert outcome(mmlu_rows_of_hub(rows(hub_row(), hub_row(answer="D")))) == [BOTH[1], BOTH[1]]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (hub_row(answer=4), "the answer is outside the options"),
        (hub_row(answer=1.0), "the answer is outside the options"),
        (hub_row(answer="3"), "the answer is outside the options"),
        (hub_row(answer=None), "the question has no answer"),
        (hub_row(choices=["e", "f", "g"]), "choices is not a list of four options"),
        (hub_row(choices=None), "choices is not a list of four options"),
        (hub_row(choices=["e", "f", "", "h"]), "an option is blank"),
        (hub_row(question=" "), "question is blank"),
        (7, "the record is not a JSON object"),
    ],
)
def test_a_broken_row_of_the_hub_is_a_reject(rows: Any, outcome: Any, broken: Any, reason: str) -> None:
    assert outcome(mmlu_rows_of_hub(rows(broken))) == [("rejected", reason)]
