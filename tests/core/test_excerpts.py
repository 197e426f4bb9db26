import time
from collections.abc import Callable

import pytest

from med42lib.core.excerpts import QUOTE_VARIABLE, brief, cut, indented, quoted


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


@pytest.mark.parametrize(("said", "shown"), [("1", "'HIV'"), ("", "'HIV'"), ("0", "…"), ("false", "…")])
def test_a_value_of_a_record_is_quoted_unless_the_environment_says_no(
    said: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert quoted("HIV") == "'HIV'"
    monkeypatch.setenv(QUOTE_VARIABLE, said)
    assert quoted("HIV") == shown


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
