"""`python -m med42lib.assemble.documents.sources_table FILE` writes the table of training sources into a file."""

from __future__ import annotations

import sys
from pathlib import Path

from med42lib.assemble.config import SOURCES
from med42lib.assemble.source import TrainingSource, load_source
from med42lib.core.markdown import Markdown, markdown_table

BEGIN, END = "<!-- sources: written by `make compile` -->", "<!-- end of sources -->"
_TITLES = (
    "source (`name`)",
    "rows in Table A1, and how the paper seems to have come to them",
    "left out",
    "publisher's files",
    "on the hub",
    "licence",
)


def table() -> str:
    """Describe all sources, medical ones first, each by the paper's row count."""
    sources = sorted(map(load_source, SOURCES.names()), key=lambda s: (s.domain != "medical", -s.num_paper))
    titles, *lines = [[Markdown(text) for text in line] for line in (_TITLES, *map(_row, sources))]
    return markdown_table("l" * len(titles), titles, lines)


def with_table(readme: str) -> str:
    """Put the table between its two marks.

    Raises:
        ValueError: If the marks are missing.
    """
    before, _, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"the README has no {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def _row(source: TrainingSource) -> tuple[str, ...]:
    hub = source.huggingface
    return (
        f"{source.title} (`{source.name}`)",
        f"{source.num_paper:,}: {source.num_paper_origin}",
        source.left_out or "–",
        f"`{source.publisher.path}`",
        f"`{hub.repository}`" if hub.repository else "–",
        source.facts.licence,
    )


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")
