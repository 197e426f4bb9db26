"""A page of Markdown as a reader's program takes it apart."""

from markdown_it import MarkdownIt
from markdown_it.token import Token

OF_A_STRANGER = {"html_block", "html_inline", "image", "link_open", "code_block"}
"""What no card or report of ours holds, so that it can only come from a text that was not escaped."""


def parts(page: str) -> list[Token]:
    """List all parts of a page, those inside others too."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(page)
    return [part for token in tokens for part in (token, *(token.children or []))]


def kinds(page: str) -> set[str]:
    """Name the kinds of parts of a page."""
    return {part.type for part in parts(page)}


def num_headings(page: str) -> int:
    """Count the headings of a page."""
    return sum(part.type == "heading_open" for part in parts(page))


def num_cells(page: str) -> int:
    """Count the cells of all tables of a page."""
    return sum(part.type in ("th_open", "td_open") for part in parts(page))
