import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from med42lib.readers.cleaning import _LONG, clean, is_blank

INVISIBLE = "\u200b\u2060\ufeff\u00ad"
LINE_ENDS = "\n\r\v\f\x85\u2028\u2029"
CONTROLS = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)]))
awkward = st.sampled_from(CONTROLS + INVISIBLE + LINE_ENDS + "e\u0301\u0323 \u2000\u1100\u1161\ud55c")
anything = st.text(st.characters(exclude_categories=["Cs"]) | awkward)
visible = st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"]))


def seen(text: str) -> str:
    """Give what can be seen of a text, in one form: no white space, controls or invisible characters."""
    shown = (character for character in text if not character.isspace() and character not in CONTROLS + INVISIBLE)
    return unicodedata.normalize("NFD", "".join(shown))


@given(anything)
def test_cleaning_a_cleaned_text_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(anything)
def test_a_cleaned_text_is_composed_without_controls_and_without_space_around_it(text: str) -> None:
    cleaned = clean(text)
    assert unicodedata.is_normalized("NFC", cleaned)
    assert {character for character in cleaned if unicodedata.category(character) == "Cc"} <= {"\t", "\n"}
    assert not set(cleaned) & set(INVISIBLE + "\u2028\u2029")
    assert cleaned == cleaned.strip()


@given(anything)
def test_nothing_visible_is_lost_added_or_moved(text: str) -> None:
    assert seen(clean(text)) == seen(text)


@given(anything)
def test_a_text_is_blank_if_nothing_of_it_is_left(text: str) -> None:
    assert is_blank(text.strip()) == (clean(text) == "")


@given(visible)
def test_a_text_of_visible_characters_is_composed_and_stripped_and_nothing_else(text: str) -> None:
    assert clean(text) == unicodedata.normalize("NFC", text).strip()


@given(st.lists(st.text("ab cé", min_size=1).filter(str.strip), min_size=1), st.sampled_from([*LINE_ENDS, "\r\n"]))
def test_every_kind_of_line_end_becomes_the_same(lines: list[str], end: str) -> None:
    assert clean(end.join(lines)) == "\n".join(lines).strip()


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("end of page\fNext page", "end of page\nNext page"),
        ("one\r\n\r\ntwo\rthree", "one\n\ntwo\nthree"),
        ("1\t2\n", "1\t2"),
        ("\ufeffFi\u00adnal\u200b", "Final"),
        ("e\u200b\u0301", "é"),
        ("A\u030angstro\u0308m", "Ångström"),
        ("nul\0 and \x1b[1mbold", "nul and [1mbold"),
        ("2\u00a0mg", "2\u00a0mg"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d⚕️", "👩\u200d⚕️"),
        ("x² ≤ ﬁ", "x² ≤ ﬁ"),
        (" \u3000\n", ""),
    ],
)
def test_examples(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@given(anything)
def test_white_space_around_a_text_makes_no_difference(text: str) -> None:
    assert clean(f" \u3000{text}\x1c\n") == clean(text.strip()) == clean(text)


def test_white_space_around_a_text_does_not_make_it_a_long_one() -> None:
    text = "a" * (_LONG - 40) + "\u0301" * 40
    assert clean(text + " " * 200) == clean(text)
