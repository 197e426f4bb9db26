"""Texts in Markdown: what a stranger wrote stays text."""

from __future__ import annotations

import re

from med42lib.core.printable import printable

_MARKS = re.compile(r"([\\`*_|<~$]|(?<=\])\(|&(?=#?\w+;))")
_LINE_BREAKS = re.compile(r"[ \t]*[\r\n]\s*")


def escape_markdown(text: str) -> str:
    """Escape what Markdown, HTML or a table would read as its own, and put the text on one line."""
    return _MARKS.sub(r"\\\1", _flat(text))


def markdown_code(text: str) -> str:
    """Write a text as code, in which a backtick cannot be escaped and becomes an apostrophe."""
    return f"`{_flat(text).replace('`', chr(39)).replace('|', chr(92) + '|')}`"


def _flat(text: str) -> str:
    return printable(_LINE_BREAKS.sub(" ", text))
