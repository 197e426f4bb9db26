"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from med42lib.core.markdown import escape_markdown

_RULES = {"l": ":--", "r": "--:"}


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
