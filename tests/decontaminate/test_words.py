import pytest

from med42lib.decontaminate.words import spaced, words
from med42lib.readers.cleaning import clean


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Pneumo\u00adthorax treat\u200bment", "pneumothorax treatment"),
        ("STRASSE", "Straße"),
        ("ΣΗΨΙΣ", "σηψις"),
        ("Me\u0301nie\u0300re", "Ménière"),
        ("ﬁbrosis, 5 µg", "Fibrosis (5 μg)"),
    ],
)
def test_words_are_the_same_whatever_case_form_signs_and_invisible_characters(one: str, other: str) -> None:
    assert words(one) == words(other)
    assert spaced(one) == spaced(other)


def test_a_text_that_is_cleaned_has_the_words_that_it_had() -> None:
    text = "A \ufeffman\u2028with\u00a0chest\x0bpain"
    assert words(text) == words(clean(text)) == ["a", "man", "with", "chest", "pain"]


def test_letters_and_digits_are_parted_where_words_in_a_row_are_looked_for() -> None:
    assert spaced("3mm") == spaced("3 mm") == " 3 mm "
    assert words("3mm") == ["3mm"]
