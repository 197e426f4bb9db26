"""The templates: one page that needs nothing else, the same in Markdown, and each figure as a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from med42lib.core import markdown
from med42lib.core.printable import printable
from med42lib.formats.written import display_name, percent, percent_of
from med42lib.report.formatting import integer
from med42lib.report.pages.view import View

TEMPLATES = Path(__file__).parent / "templates"
_FILTERS = {
    "display_name": display_name,
    "integer": integer,
    "percent": percent,
    "percent_of": percent_of,
}


def render_html(view: View) -> str:
    """Write the page: style, figures and text in one file, every value escaped."""
    variables = {name: f"var(--{name})" for name in _palette()}
    return render_page("report.html.j2", view, colours=variables)


def render_page(template: str, view: object, **more: object) -> str:
    """Write any of the templates in HTML, every value escaped."""
    return _render(_environment(_printable_text), template, view, **more)


def render_figures(view: View) -> Iterator[tuple[str, str]]:
    """Draw the figures for a paper, in the colours of a light page: each one's name and its SVG."""
    for name in ("accuracy", "loss") if view.losses[0] else ("accuracy",):
        yield name, render_page("figure.svg.j2", view, name=name, colours=_palette())


def _palette() -> dict[str, str]:
    """Read the colours of a light page off its style sheet, by name."""
    light, _, _ = (TEMPLATES / "report.css").read_text(encoding="utf-8").partition("}")
    return dict(re.findall(r"--([\w-]+): (#\w+);", light))


def render_markdown(view: View) -> str:
    """Write the report in Markdown, every value escaped."""
    return _render(_environment(escape_markdown), "report.md.j2", view)


def _printable_text(value: object) -> object:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def escape_markdown(value: object) -> Markup:
    """Escape what Markdown would read as its own, and put the text on one line; `Markup` passes as it is."""
    return value if isinstance(value, Markup) else Markup(markdown.escape_markdown(str(value)))


def _environment(finalize: Callable[[object], object]) -> Environment:
    # With autoescape, what macros return is Markup; so `finalize` meets each value once, and no macro's output.
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize,
    )
    environment.filters.update(_FILTERS)
    return environment


def _render(environment: Environment, template: str, view: object, **more: object) -> str:
    return str(environment.get_template(template).render(view=view, **more))
