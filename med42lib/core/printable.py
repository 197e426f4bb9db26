"""Texts of strangers where people read them: a file's name, a record, a licence, a value of a spec.

None of them may steer a terminal, hide or reorder what stands beside it, pass for a line of ours, or fill the screen.
Values go into messages as they are; what is written on a screen or a page goes through here, at the few places that do
so (`core.log`, `core.progress`, `commands`, `inspection`, the cards and the report). JSON files are data for programs,
and keep every character.

What stands here decides bytes of outputs, so it is part of a key; what is for messages alone is in `core.excerpts`.
"""

from __future__ import annotations

import re
import unicodedata

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of what is not seen: controls, directions and joiners, halves of pairs, line ends."""

_PERHAPS_UNSEEN = re.compile(r"[^\n\t -~]")
_FORMULA = re.compile(r"""(^|[;\t\r\n])([\s"]*+)(?=[=+\-@＝＋－＠])""")
"""At the beginning of a cell, and of what becomes one where spreadsheets part cells by semicolons or tabs."""


def printable(text: str) -> str:
    r"""Write out every character that is not seen, as `\x1b` or `\u202e`; line breaks and tabs stay."""
    return _PERHAPS_UNSEEN.sub(_written_out, text)


def one_line(text: str) -> str:
    """Write out line breaks and tabs as well."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def no_formula(text: str) -> str:
    """Put an apostrophe before what a spreadsheet would compute; it then shows the text."""
    return _FORMULA.sub(r"\1\2'", text)


def shortened(text: str, characters: int) -> str:
    """Keep a text's beginning, with a mark if there was more."""
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def counted(number: int, thing: str) -> str:
    """Write a number with what it counts: 1 pair, 2,000 pairs."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _written_out(match: re.Match[str]) -> str:
    character = match[0]
    if unicodedata.category(character) not in _UNSEEN:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
