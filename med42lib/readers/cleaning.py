"""Text as training should see it: one Unicode form, no control characters, one kind of line end."""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache

_KEPT_CONTROLS = "\t\n"
_INVISIBLE = "\u200b\u2060\ufeff\u00ad"
"""Zero-width space, word joiner, byte order mark and soft hyphen: nobody sees them, and a tokenizer does."""

_CONTROLS = {code: None for code in [*range(0x20), *range(0x7F, 0xA0)] if chr(code) not in _KEPT_CONTROLS}
_UNWANTED = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f{_INVISIBLE}\u2028\u2029]")
_LINE_ENDS = "\v\f\x85\u2028\u2029"
"""Line, page and paragraph ends: words on both sides must not grow together."""

_LONG = 20_000
_MOST_MARKS = 30
"""Unicode's own limit for marks on one letter. Python orders marks in a time that grows with their square, so that a
long text of nothing else would take hours."""

_UNSEEN = frozenset(map(chr, _CONTROLS)) | frozenset(_INVISIBLE)
_TABLE = {**_CONTROLS, **dict.fromkeys(map(ord, _INVISIBLE)), **dict.fromkeys(map(ord, _LINE_ENDS), "\n")}
_ASCII_TABLE = bytes(ord(end) if (end := _TABLE.get(code)) else code for code in range(256))
_ASCII_DELETED = bytes(code for code in range(128) if _TABLE.get(code, "kept") is None)


def clean(text: str) -> str:
    r"""Bring a text into Unicode's composed form (NFC), without control and invisible characters.

    Line ends become `\n`; tabs and line ends are the only control characters that stay. White space around the text
    goes. Cleaning a cleaned text changes nothing.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii():
        # Bytes are translated twice as fast as text.
        return text.encode().translate(_ASCII_TABLE, _ASCII_DELETED).decode().strip()
    if _UNWANTED.search(text):
        text = text.translate(_TABLE)
    text = text.strip()
    if len(text) > _LONG:
        text = _too_many_marks().sub(r"\1", text)
    # Removing a character can bring two together that compose, so the form comes last.
    return unicodedata.normalize("NFC", text).strip()


@cache
def _too_many_marks() -> re.Pattern[str]:
    marks = "".join(character for character in map(chr, range(sys.maxunicode)) if unicodedata.combining(character))
    return re.compile(f"([{marks}]{{{_MOST_MARKS}}})[{marks}]+")


def is_blank(text: str) -> bool:
    """Say whether nothing of a text without white space around it would be left by `clean`."""
    return not text or (text[0] in _UNSEEN and not clean(text))
