"""The templates: one page that needs nothing else, and the same in Markdown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from med42lib.report import formats
from med42lib.report.view import View

TEMPLATES = Path(__file__).parent / "templates"
_MARKDOWN = re.compile(r"([\\`*_|<~]|(?<=\])\()")
_LINE_BREAKS = re.compile(r"[ \t]*[\r\n]\s*")
_FILTERS = {
    "display_name": formats.display_name,
    "whole": formats.whole,
    "percent": formats.percent,
    "percent_of": formats.percent_of,
}


def render_html(view: View) -> str:
    """Write the page: style, figures and text in one file, every value escaped."""
    return _render(_environment(), "report.html.j2", view)


def render_markdown(view: View) -> str:
    """Write the report in Markdown, every value escaped."""
    return _render(_environment(finalize=escape_markdown), "report.md.j2", view)


def escape_markdown(value: object) -> Markup:
    """Escape what Markdown would read as its own, and put the text on one line; `Markup` passes as it is."""
    if isinstance(value, Markup):
        return value
    return Markup(_MARKDOWN.sub(r"\\\1", _LINE_BREAKS.sub(" ", str(value))))


def _environment(**options: Any) -> Environment:
    # With autoescape, what macros return is Markup; so `finalize` meets each value once, and no macro's output.
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )
    environment.filters.update(_FILTERS)
    return environment


def _render(environment: Environment, name: str, view: View) -> str:
    return str(environment.get_template(name).render(view=view))
