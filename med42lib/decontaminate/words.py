"""The words of a text, by which texts are the same whatever their case, signs and spaces."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """List a text's words: letters and digits in a row, in small letters and Unicode's form NFKC."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


def spaced(text: str) -> str:
    """Write a text's words with a space around each, so that words in a row are found with `in`."""
    return f" {' '.join(words(text))} "
