import time
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from med42lib.core.printable import brief, counted, cut, indented, no_formula, one_line, printable
from tests.hostile import UNSEEN


def test_a_text_cannot_steer_the_terminal() -> None:
    hostile = "\x1b[2J\x07\x9b31m\r\u202egnp.exe\u2028line\nof\ttext é 👍🏽"
    assert printable(hostile) == "\\x1b[2J\\x07\\x9b31m\\x0d\\u202egnp.exe\\u2028line\nof\ttext é 👍🏽"


@pytest.mark.parametrize("character", sorted(set(UNSEEN) - set("[2J31m")))
def test_a_character_that_is_not_seen_is_written_out(character: str) -> None:
    assert printable(f"a{character}b").isascii()


@given(st.text(st.characters(codec="utf-8")))
def test_what_is_seen_stays_as_it_is(text: str) -> None:
    seen = "".join(c for c in text if unicodedata.category(c) not in {"Cc", "Cf", "Zl", "Zp"})
    assert printable(seen) == seen


@given(st.text())
def test_what_is_written_out_can_be_encoded_and_stays(text: str) -> None:
    written = printable(text)
    assert printable(written.encode().decode()) == written


def test_on_one_line_there_is_no_other() -> None:
    assert one_line("a\nb\tc\r") == "a\\nb\\tc\\x0d"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("=1+1", "'=1+1"), ("-1", "'-1"), ("+1", "'+1"), ("@SUM(A1)", "'@SUM(A1)"), ("heart", "heart"), ("", "")],
)
def test_a_spreadsheet_gets_no_formula(text: str, shown: str) -> None:
    assert no_formula(text) == shown


def test_only_the_first_line_begins_at_the_left() -> None:
    assert indented("a\n[report] b\n  c\n\nd") == "a\n  [report] b\n  c\n\n  d"


def test_a_cut_text_says_so() -> None:
    assert (cut("abc", 3), cut("abcd", 3)) == ("abc", "ab…")


@pytest.mark.parametrize("place", range(150, 200, 7))
def test_a_secret_that_is_cut_is_taken_out_first(place: int) -> None:
    text = "x" * place + " http://user:hunter2-hunter2-hunter2@host/" + "y" * 100
    assert "hunter2" not in cut(text) + brief(text) + brief([text])


@pytest.mark.parametrize("value", ["two", 0, 1.5, None, [1, "b"], {"a": [True]}, "a\nb"])
def test_a_small_value_is_written_as_python_does(value: object) -> None:
    assert brief(value) == repr(value)


def bomb() -> object:
    value: object = "x" * 100
    for _ in range(30):
        value = [value] * 10
    return value


def deep() -> object:
    value: object = ""
    for _ in range(10_000):
        value = [value]
    return value


def test_one_thing_is_no_plural() -> None:
    assert [counted(number, "pair") for number in (0, 1, 2000)] == ["0 pairs", "1 pair", "2,000 pairs"]


LARGE: dict[str, Callable[[], object]] = {
    "bomb": bomb,
    "deep": deep,
    "text": lambda: "x" * 10**7,
    "number": lambda: 10**5000,
    "list": lambda: list(range(10**6)),
    "key": lambda: {"x" * 10**6: 1},
}


@pytest.mark.parametrize("kind", LARGE)
def test_a_large_value_is_short_at_once(kind: str) -> None:
    value = LARGE[kind]()
    started = time.process_time()
    assert len(brief(value)) <= 200
    assert time.process_time() - started < 1
