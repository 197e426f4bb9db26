"""Texts of strangers where people read them: a file's name, a record, a licence, a value of a spec.

None of them may steer a terminal, hide or reorder what stands beside it, pass for a line of ours, or fill the screen.
Values go into messages as they are; what is written on a screen or a page goes through here, at the few places that do
so (`core.log`, `core.progress`, `commands`, `inspection`, the cards and the report). JSON files are data for programs,
and keep every character.
"""

from __future__ import annotations

import re
import reprlib
import unicodedata

from med42lib.core.redaction import redact

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of what is not seen: controls, directions and joiners, halves of pairs, line ends."""

_PERHAPS_UNSEEN = re.compile(r"[^\n\t -~]")
_FORMULA = ("=", "+", "-", "@")
_CHARACTERS = 200
_LONGEST_SECRET = 1_000
_DIGITS_PER_BIT = 0.30103


def printable(text: str) -> str:
    r"""Write out every character that is not seen, as `\x1b` or `\u202e`; line breaks and tabs stay."""
    return _PERHAPS_UNSEEN.sub(_written_out, text)


def one_line(text: str) -> str:
    """Write out line breaks and tabs as well."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def no_formula(text: str) -> str:
    """Put an apostrophe before what a spreadsheet would compute; it then shows the text."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def indented(text: str) -> str:
    """Indent all lines but the first, so that no line of a text passes for the beginning of another message."""
    first, *others = text.split("\n")
    return "\n".join([first, *(line if not line or line.startswith("  ") else f"  {line}" for line in others)])


def cut(text: str, characters: int = _CHARACTERS) -> str:
    """Keep a text's beginning, with a mark if there was more; half of a secret would not be known for one any more."""
    if len(text) <= characters:
        return text
    return f"{redact(text[: characters + _LONGEST_SECRET])[: characters - 1]}…"


def brief(value: object) -> str:
    """Write a value as Python would, at most 200 characters of it, in a time that does not grow with its size."""
    return cut(_Brief().repr(value))


def counted(number: int, thing: str) -> str:
    """Write a number with what it counts: 1 pair, 2,000 pairs."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


class _Brief(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = 8
        self.maxother = _CHARACTERS

    def repr_str(self, x: str, level: int) -> str:
        """Show the beginning, and not the end as well."""
        return repr(cut(x))

    def repr_int(self, x: int, level: int) -> str:
        """Python refuses to write out whole numbers of thousands of digits."""
        num_digits = int(x.bit_length() * _DIGITS_PER_BIT)
        return f"a whole number of about {num_digits:,} digits" if num_digits > _CHARACTERS else repr(x)


def _written_out(match: re.Match[str]) -> str:
    character = match[0]
    if unicodedata.category(character) not in _UNSEEN:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
