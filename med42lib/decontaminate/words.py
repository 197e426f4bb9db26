"""The words of a text, by which texts are the same whatever their case, signs and spaces."""

from __future__ import annotations

import re
import unicodedata

from med42lib.readers.cleaning import clean

_WORD = re.compile(r"[^\W_]+")
_LETTERS_OR_DIGITS = re.compile(r"[^\W\d_]+|\d+")


def words(text: str) -> list[str]:
    """List a text's words: letters and digits in a row, without case, in Unicode's form NFKC, cleaned.

    Training texts are clean; a benchmark's may have soft hyphens and invisible spaces inside its words.
    """
    return _WORD.findall(_folded(text))


def spaced(text: str) -> str:
    """Write a text's words with a space around each, so that words in a row are found with `in`.

    Letters and digits are parted, so that "3mm" and "3 mm", "D1" and "D-1" are the same.
    """
    return f" {' '.join(_LETTERS_OR_DIGITS.findall(_folded(text)))} "


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", clean(text)).casefold()
