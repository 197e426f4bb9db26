"""Text as training should see it: one Unicode form, no control characters, one kind of line end."""

from __future__ import annotations

import unicodedata

_KEPT_CONTROLS = "\t\n"
_INVISIBLE = "\u200b\u2060\ufeff\u00ad"
"""Zero-width space, word joiner, byte order mark and soft hyphen: nobody sees them, and a tokenizer does."""

_CONTROLS = {code: None for code in [*range(0x20), *range(0x7F, 0xA0)] if chr(code) not in _KEPT_CONTROLS}
_TABLE = {**_CONTROLS, **{ord(character): None for character in _INVISIBLE}, 0x2028: "\n", 0x2029: "\n"}


def clean(text: str) -> str:
    r"""Bring a text into Unicode's composed form (NFC), without control and invisible characters.

    Line ends become `\n`; tabs and line ends are the only control characters that stay. White space around the text
    goes. Cleaning a cleaned text changes nothing.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii():
        return text.translate(_TABLE).strip()
    # Removing a character can bring two together that compose, so the form comes last.
    return unicodedata.normalize("NFC", text.translate(_TABLE)).strip()
