from typing import Any

import pytest

from med42lib.formats.rejects import BadRecord
from med42lib.readers.fields import mapping, optional_text, text_field, text_value, written_number


def test_only_an_object_is_a_mapping() -> None:
    assert mapping({"a": 1}) == {"a": 1}
    with pytest.raises(BadRecord, match=r"not a JSON object \(list\)"):
        mapping([1])


def test_white_space_around_a_text_is_taken_off() -> None:
    assert text_field({"a": " x\n"}, "a") == "x"
    assert optional_text({"a": " x\n"}, "a") == "x"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "a is missing"),
        (3, "a is not text"),
        (float("nan"), "NaN is neither text nor JSON"),
        (["x"], "a is not text"),
        (" \n", "a is blank"),
        ("\u200b \ufeff", "a is blank"),
        ("\x00", "a is blank"),
        ("\ud83d", "not valid Unicode"),
    ],
)
def test_a_text_that_is_none_is_a_bad_record(value: Any, reason: str) -> None:
    with pytest.raises(BadRecord, match=reason):
        text_field({"a": value}, "a")
    with pytest.raises(BadRecord, match=reason):
        text_value(value, "a")


def test_an_optional_text_may_be_missing_null_or_blank_but_not_something_else() -> None:
    assert [optional_text(record, "a") for record in ({}, {"a": None}, {"a": " \u200b"})] == ["", "", ""]
    with pytest.raises(BadRecord, match="a is not text"):
        optional_text({"a": 3}, "a")


def test_digits_are_read_as_a_number_and_anything_else_stays() -> None:
    assert [written_number(value) for value in ("12", " 1", "-1", "x", None, 3)] == [12, " 1", "-1", "x", None, 3]
    assert written_number("9" * 5000) == "9" * 5000
