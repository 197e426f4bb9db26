from string import ascii_uppercase
from typing import Any

import pytest

from med42lib.core.errors import DataError
from med42lib.readers.publishers.question import Question
from med42lib.readers.publishers.usmle import read_usmle_lines, read_usmle_step, usmle_images, usmle_solutions

SOLUTIONS = {"1": "B"}
TEXTS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def lettered(num_options: int) -> dict[str, str]:
    return dict(zip(ascii_uppercase, TEXTS[:num_options], strict=False))


def row(**changes: Any) -> dict[str, Any]:
    """A question of a step file; the answer stands in the solutions."""
    return {"no": 1, "question": "Which?", "options": lettered(5), **changes}


@pytest.fixture
def of_step(make: Any, outcome: Any) -> Any:
    """Read rows as step 1; the solutions say B for question 1."""

    def read(*rows: Any, solutions: Any = SOLUTIONS, images: Any = frozenset()) -> list[Any]:
        return outcome(read_usmle_step(make("step1.json", list(rows)), "step1", solutions, images))

    return read


def test_questions_of_a_step_are_answered_by_its_solutions(of_step: Any) -> None:
    assert of_step(row()) == [Question("step1-1", "Which?", TEXTS[:5], 1)]


def test_numbers_may_be_digits_and_letters_small(of_step: Any) -> None:
    assert of_step(row(no="1"), solutions={"1": " b "}) == of_step(row())


def test_a_question_may_carry_its_answer(of_step: Any) -> None:
    (question,) = of_step(row(answer="C"), solutions={})
    assert question.gold == 2
    assert of_step(row(answer="B"))[0].gold == 1
    assert of_step(row(answer="C")) == [("rejected", "the question's answer and the solutions disagree")]


def test_questions_about_images_and_those_whose_options_are_images_are_excluded(of_step: Any) -> None:
    about, options, asked = of_step(row(no=3), row(no=2, options={}), row(), images={"3"})
    assert about == ("excluded", "the question is about an image")
    assert options == ("excluded", "the question's options are not text")
    assert isinstance(asked, Question)


def test_the_list_of_images_names_numbers_by_step(make: Any) -> None:
    assert usmle_images(make("images.json", {"step1": [3, "17"], "step2": []})) == {
        "step1": {"3", "17"},
        "step2": set(),
    }


@pytest.mark.parametrize("num_options", range(4, 10))
@pytest.mark.parametrize("as_list", [False, True])
def test_four_to_nine_options_are_read_from_an_object_or_a_list(
    make: Any, outcome: Any, num_options: int, as_list: bool
) -> None:
    options = list(TEXTS[:num_options]) if as_list else lettered(num_options)
    last = {"question": "Which?", "options": options, "answer": ascii_uppercase[num_options - 1]}
    assert outcome(read_usmle_lines(make("exam.jsonl", [last]))) == [
        Question("", "Which?", TEXTS[:num_options], num_options - 1)
    ]


def test_options_come_by_their_letters_whatever_their_order_in_the_file(of_step: Any) -> None:
    assert of_step(row(options=dict(reversed(lettered(5).items())))) == of_step(row())


BROKEN = [
    ({"question": None}, "question is missing"),
    ({"question": " "}, "question is blank"),
    ({"question": 7}, "question is not text"),
    ({"options": None}, "options is neither an object nor a list"),
    ({"options": "A. one B. two"}, "options is neither an object nor a list"),
    ({"options": lettered(3)}, "a USMLE question has 4 to 9 options"),
    ({"options": lettered(10)}, "a USMLE question has 4 to 9 options"),
    ({"options": {"A": "one", "B": "two", "D": "four", "E": "five"}}, "the options are not lettered A, B, C, …"),
    ({"options": {**lettered(4), "D": None}}, "an option is missing"),
    ({"options": ["one", "two", "three", ""]}, "an option is blank"),
    ({"answer": None}, "the question has no answer"),
    ({"answer": ""}, "the question has no answer"),
    ({"answer": "F"}, "the answer is outside the options"),
    ({"answer": "AB"}, "the answer is outside the options"),
    ({"answer": ["A", "B"]}, "the answer is outside the options"),
    ({"answer": 1}, "the answer is outside the options"),
]


@pytest.mark.parametrize(("change", "reason"), BROKEN)
def test_a_broken_question_is_a_reject_and_the_rest_goes_on(
    make: Any, outcome: Any, of_step: Any, change: Any, reason: str
) -> None:
    good = row(answer="B")
    for first, second in (
        outcome(read_usmle_lines(make("exam.jsonl", [{**good, **change}, good]))),
        of_step({**good, **change}, good, solutions={}),
    ):
        assert first == ("rejected", reason)
        assert isinstance(second, Question)


@pytest.mark.parametrize("number", [None, "", "one", 1.5, True, -1])
def test_a_question_without_a_number_cannot_be_matched_with_its_solution(of_step: Any, number: Any) -> None:
    first, _ = of_step(row(no=number), row())
    assert first in {
        ("rejected", "no is not a question's number"),
        ("rejected", "the question has no answer"),
    }


def test_other_layouts_fail(make: Any) -> None:
    with pytest.raises(DataError, match="not medAlpaca's layout"):
        read_usmle_step(make("step1.json", {"1": row()}), "step1", {}, set())
    with pytest.raises(DataError, match="not medAlpaca's layout"):
        usmle_solutions(make("step1_solutions.json", ["B"]))
    with pytest.raises(DataError, match="the key '1' stands twice"):
        usmle_solutions(make("step1_solutions.json", '{"1": "B", "1": "C"}'))
    for images in ([3], {"step1": 3}, {"step1": ["three"]}):
        with pytest.raises(DataError, match="question numbers by step"):
            usmle_images(make("images.json", images))
