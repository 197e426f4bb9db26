import hashlib

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from med42lib.core.hashing import content_hash
from med42lib.formats.dataset import SCHEMA
from med42lib.formats.records import Example, Exchange, Origin
from med42lib.readers.cleaning import clean
from med42lib.readers.text_columns import (
    clean_texts,
    content_digests,
    conversation_digests,
    conversations,
    python_objects,
)
from tests.readers.test_cleaning import anything

plain = st.text("ab \n\t~", max_size=6)
texts = st.lists(st.none() | anything | plain, max_size=12)
said = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


def column(values: list[str | None]) -> pa.StringArray:
    return pa.array(values, pa.string())


def cleaned(values: list[str | None]) -> list[str | None]:
    return [None if value is None else clean(value) for value in values]


@given(texts)
def test_each_text_of_a_column_is_cleaned_as_it_would_be_alone(values: list[str | None]) -> None:
    assert clean_texts(column(values)).to_pylist() == cleaned(values)


@given(texts, st.integers(0, 12), st.integers(0, 12))
def test_a_part_of_a_column_is_cleaned_as_if_it_were_all(values: list[str | None], start: int, length: int) -> None:
    part = column(values).slice(min(start, len(values)), length)
    assert clean_texts(part).to_pylist() == cleaned(values[start : start + length])


@pytest.mark.parametrize("odd", ["\x00", "\x1f", "\x7f", "\r", "\v", "é", "e\u0301", "\u200b", "\u2028", "😀"])
@pytest.mark.parametrize("form", ["{}", "a{}b", "a{}", "{}b"])
def test_one_odd_character_is_found_wherever_it_stands(odd: str, form: str) -> None:
    values: list[str | None] = ["", "plain", form.format(odd), "", "plain\ttoo\n~!"]
    assert clean_texts(column(values)).to_pylist() == cleaned(values)


@pytest.mark.parametrize("space", [" ", "\t", "\n", "\x0b", "\x1c", "\u00a0", "\u3000"])
def test_white_space_goes_at_both_ends_and_stays_inside(space: str) -> None:
    values: list[str | None] = [f"{space}a", f"a{space}", f"a{space}b", space]
    assert clean_texts(column(values)).to_pylist() == cleaned(values)


def test_odd_letters_that_go_on_in_the_next_text_are_found_there_too() -> None:
    values: list[str | None] = ["e\u0301", "", "\u0301e", None, "\u00ad\u00ad", "plain", "\u00adx"]
    assert clean_texts(column(values)).to_pylist() == cleaned(values)


def test_a_null_whose_place_holds_bytes_stays_null() -> None:
    behind = pa.array(["kept", " \xad", "x "])
    nulled = pa.StringArray.from_buffers(3, *behind.buffers()[1:], pa.py_buffer(bytes([0b101])))
    assert clean_texts(nulled).to_pylist() == ["kept", None, "x"]


def test_a_column_without_anything_to_clean_is_the_same_object() -> None:
    texts = column(["plain", None, "", "two\nlines\tand ~"])
    assert clean_texts(texts) is texts


def test_an_empty_column_stays_empty() -> None:
    assert clean_texts(column([])).to_pylist() == []
    assert content_digests(column([]), column([])) == []


def test_a_conversation_is_all_that_is_said_in_it() -> None:
    turns = [[("Hello?", "Yes."), ("Fever?", "No.")], [("Pain?", "Yes.")]]
    rows = [[{"prompter": prompter, "assistant": assistant} for prompter, assistant in row] for row in turns]
    exchanges = pa.array(rows, SCHEMA.field("exchanges").type)
    assert conversations(exchanges, between=" ").to_pylist() == ["Hello? Yes. Fever? No.", "Pain? Yes."]
    assert conversations(exchanges.slice(1), between=" ").to_pylist() == ["Pain? Yes."]


@given(st.lists(st.tuples(said, said), max_size=5))
def test_the_texts_of_a_row_are_hashed_as_content_hash_does_it(rows: list[tuple[str, str]]) -> None:
    digests = content_digests(column([one for one, _ in rows]), column([other for _, other in rows]))
    assert [digest.hex() for digest in digests] == [content_hash(*row, length=64) for row in rows]


@given(st.lists(st.tuples(said, st.lists(st.tuples(said, said), min_size=1, max_size=3)), max_size=4))
def test_a_conversation_is_hashed_as_an_examples_id(talks: list[tuple[str, list[tuple[str, str]]]]) -> None:
    exchanges = [[{"prompter": p, "assistant": a} for p, a in turns] for _, turns in talks]
    turn = pa.struct([("prompter", pa.string()), ("assistant", pa.string())])
    digests = conversation_digests(column([s for s, _ in talks]), pa.array(exchanges, pa.list_(turn)))
    ids = [
        Example("s", "", system, tuple(Exchange(*turn) for turn in turns), "", Origin("", "", 1)).id
        for system, turns in talks
    ]
    assert [f"s/{digest.hex()[:16]}" for digest in digests] == ids


def test_a_digest_is_whole_and_of_the_lengths_too() -> None:
    assert content_digests(column(["ä"])) == [hashlib.sha256(b"\0" * 7 + b"\x02" + "ä".encode()).digest()]


def test_columns_of_text_and_of_bytes_become_pythons_objects() -> None:
    assert python_objects(column(["é", None, ""])) == ["é", None, ""]
    assert python_objects(pa.array([b"\xff", b""])) == [b"\xff", b""]
