"""Values of strangers in messages: short, without half a secret, and not to be taken for another message."""

from __future__ import annotations

import os
import reprlib

from med42lib.core.redaction import redact

QUOTE_VARIABLE = "MED42_QUOTE_RECORDS"
_CHARACTERS = 200
_LONGEST_SECRET = 1_000
_DIGITS_PER_BIT = 0.30103


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


def quotes_records() -> bool:
    """Say whether messages, which logs keep, may have texts of records in them; the environment decides."""
    return (os.environ.get(QUOTE_VARIABLE) or "1") == "1"


def quoted(value: object) -> str:
    """Write a value of a record as `brief` does, if messages may have any."""
    return brief(value) if quotes_records() else "…"


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
