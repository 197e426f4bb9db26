"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_RULES = {"l": ":--", "r": "--:"}


def markdown_table(columns: str, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table; `columns` has a letter for each, `l` or `r` for flush left or right."""
    lines = [[_cell(title) for title in titles], [_RULES[letter] for letter in columns]]
    lines += [[_cell(text) for text in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
