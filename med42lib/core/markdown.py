"""Texts and tables in Markdown: what a stranger wrote stays text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from med42lib.core.printable import printable

_MARKS = re.compile(r"([\\`*_|<~$]|(?<=\])\(|&(?=#?\w+;))")
_LINE_BREAKS = re.compile(r"[ \t]*[\r\n]\s*")
_RULES = {"l": ":--", "r": "--:"}


def escape_markdown(text: str) -> str:
    """Escape what Markdown, HTML or a table would read as its own, and put the text on one line."""
    return _MARKS.sub(r"\\\1", _flat(text))


def markdown_code(text: str) -> str:
    """Write a text as code, in which a backtick cannot be escaped and becomes an apostrophe."""
    return f"`{_flat(text).replace('`', chr(39)).replace('|', chr(92) + '|')}`"


class Markdown(str):
    """Text that is Markdown already."""

    __slots__ = ()


def bold(text: str) -> Markdown:
    """Write a text in bold type."""
    return Markdown(f"**{escape_markdown(text)}**")


def markdown_table(columns: str, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table; every text that is not `Markdown` already is escaped.

    Args:
        columns: A letter for each, `l` or `r` for flush left or right.
        titles: The columns' headings.
        rows: The cells of each line.
    """
    lines = [[_cell(title) for title in titles], [_RULES[letter] for letter in columns]]
    lines += [[_cell(text) for text in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return text if isinstance(text, Markdown) else escape_markdown(" ".join(text.split()))


def _flat(text: str) -> str:
    return printable(_LINE_BREAKS.sub(" ", text))
