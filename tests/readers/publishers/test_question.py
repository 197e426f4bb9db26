from typing import Any

import pytest

from med42lib.formats.rejects import BadRecord
from med42lib.readers.publishers.question import (
    checked_options,
    gold_of_class_label,
    gold_of_letter,
    gold_of_number,
    id_field,
    lettered,
)


@pytest.mark.parametrize(("answer", "gold"), [("1", 0), (1, 0), ("4", 3), (4, 3)])
def test_a_number_counts_from_one(answer: Any, gold: int) -> None:
    assert gold_of_number(answer, 4, field="ra") == gold


@pytest.mark.parametrize("answer", [0, "0", 5, "5", -1, "-1", "A", 1.0, True, [1], "²"])
def test_a_number_outside_the_options_is_refused_with_field_and_value(answer: Any) -> None:
    with pytest.raises(BadRecord, match="outside the options") as error:
        gold_of_number(answer, 4, field="ra")
    assert error.value.detail == f"ra = {answer!r}, options 1 to 4"


@pytest.mark.parametrize(("answer", "gold"), [("A", 0), ("E", 4)])
def test_a_letter_is_a_position(answer: str, gold: int) -> None:
    assert gold_of_letter(answer, 5, field="answer_idx") == gold


@pytest.mark.parametrize("answer", ["F", "a", "AB", 1, ["A"]])
def test_a_letter_outside_the_options_is_refused(answer: Any) -> None:
    with pytest.raises(BadRecord, match="outside the options"):
        gold_of_letter(answer, 5, field="answer_idx")


@pytest.mark.parametrize(("answer", "gold"), [(0, 0), (3, 3), ("a", 0), ("D", 3)])
def test_a_class_label_counts_from_zero_or_is_a_letter_of_either_case(answer: Any, gold: int) -> None:
    assert gold_of_class_label(answer, 4, field="cop") == gold


@pytest.mark.parametrize("answer", [4, -2, "e", "1", 1.0, True, [1]])
def test_a_class_label_outside_the_options_is_refused(answer: Any) -> None:
    with pytest.raises(BadRecord, match="outside the options"):
        gold_of_class_label(answer, 4, field="cop")


def test_minus_one_is_the_hubs_way_to_keep_an_answer_secret() -> None:
    with pytest.raises(BadRecord, match="the question has no answer"):
        gold_of_class_label(-1, 4, field="cop")


def test_an_id_is_text_or_a_whole_number() -> None:
    assert [id_field({"id": value}, "id") for value in (7, "7", " x ")] == ["7", "7", "x"]
    for value in (None, True, 1.5, " "):
        with pytest.raises(BadRecord, match="id is"):
            id_field({"id": value}, "id")


@pytest.mark.parametrize("read", [gold_of_number, gold_of_letter, gold_of_class_label])
@pytest.mark.parametrize("answer", [None, ""])
def test_no_answer_is_a_reason_of_its_own(read: Any, answer: Any) -> None:
    with pytest.raises(BadRecord, match="the question has no answer"):
        read(answer, 4, field="ra")


def test_options_lose_the_space_around_them_and_may_repeat() -> None:
    assert checked_options([" a", "b\n", "a"]) == ("a", "b", "a")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["a"], "needs 2 to 26 options"),
        (["a"] * 27, "needs 2 to 26 options"),
        (["a", " "], "an option is blank"),
        (["a", None], "an option is missing"),
        (["a", 3], "an option is not text"),
    ],
)
def test_too_few_options_and_blank_ones_are_refused(options: list[Any], reason: str) -> None:
    with pytest.raises(BadRecord, match=reason):
        checked_options(options)


def test_lettered_options_come_in_the_order_of_their_letters() -> None:
    assert lettered({"B": "two", "A": "one"}) == ["one", "two"]
    assert lettered({}) == []


@pytest.mark.parametrize("letters", ["AC", "ab", "BC", ["A", "BB"]])
def test_options_under_other_letters_are_refused_with_what_they_are(letters: Any) -> None:
    with pytest.raises(BadRecord, match="not lettered A, B, C") as error:
        lettered(dict.fromkeys(letters, "x"))
    assert error.value.detail == repr(list(letters))
