import csv
import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from med42lib.core.printable import counted, no_formula, one_line, printable, shortened
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
    [
        *(("=1+1", "'=1+1"), ("-1", "'-1"), ("+1", "'+1"), ("@SUM(A1)", "'@SUM(A1)"), ("heart", "heart"), ("", "")),
        *(("\t=1+1", "\t'=1+1"), (" \n =1", " \n '=1"), ("＝1+1", "'＝1+1"), ("\u00a0=1", "\u00a0'=1")),
        *(("he asks;=1+1;-2", "he asks;'=1+1;'-2"), ("a\t@b", "a\t'@b"), ('a;"=1"', 'a;"\'=1"')),
        *(("a = b, c-d; e", "a = b, c-d; e"), ("'=1", "'=1")),
    ],
)
def test_a_spreadsheet_gets_no_formula(text: str, shown: str) -> None:
    assert no_formula(text) == shown


@given(st.text(alphabet='=-;"\t\n a,', max_size=12), st.sampled_from(",;\t"))
def test_no_cell_begins_like_a_formula_whichever_sign_parts_cells(text: str, sign: str) -> None:
    stream = io.StringIO(newline="")
    csv.writer(stream).writerow(["", no_formula(text), ""])
    cells = [cell for row in csv.reader(stream.getvalue().splitlines(keepends=True), delimiter=sign) for cell in row]
    assert [cell for cell in cells if cell.lstrip(' "\t\n').startswith(("=", "-"))] == []


def test_a_shortened_text_says_so() -> None:
    assert (shortened("abc", 3), shortened("abcd", 3)) == ("abc", "ab…")


def test_one_thing_is_no_plural() -> None:
    assert [counted(number, "pair") for number in (0, 1, 2000)] == ["0 pairs", "1 pair", "2,000 pairs"]
