"""Rows of `mixture.json` made up from the sources' own facts."""

from typing import Any

from med42lib.assemble.source import load_source
from med42lib.formats.mixture_table import TABLE_A1


def mixture_row(name: str, sampled: int | None = None, **changes: Any) -> dict[str, Any]:
    """Make the row of a source that gives exactly what its target asks for: `sampled`, or what the paper has."""
    source = load_source(name)
    count = source.num_paper if sampled is None else sampled
    row = {
        "source": name,
        "title": source.title,
        "domain": source.domain,
        "licence": source.facts.licence,
        "attribution": source.facts.attribution,
        "citation": source.facts.citation,
        "layout": "publisher",
        "hub": None,
        "files": [{"path": f"{name}.json", "bytes": 3, "sha256": "f" * 64}],
        "read": count + 12,
        "rejected": 3,
        "rejected_by_reason": {"it has no answer": 1, "it has two answers": 2},
        "excluded": 4,
        "excluded_by_reason": {"it is a test question": 4},
        "unread_fields": {},
        "notes": [],
        "too_short": 0,
        "too_long": 0,
        "duplicates": 0,
        "duplicates_across_sources": 0,
        "kept": count + 5,
        "target": count,
        "target_rows": count,
        "sampled": count,
        "repeated": 0,
        "short_by": 0,
        "left_over": 5,
        "num_paper": source.num_paper,
        "num_paper_origin": source.num_paper_origin,
    }
    return row | changes


def paper_rows(**changes: dict[str, Any]) -> list[dict[str, Any]]:
    """Make the paper's mixture, in the order of `mixture.json`; `changes` are by source."""
    return [mixture_row(name) | changes.get(name, {}) for name in sorted(TABLE_A1)]


def demo_rows() -> list[dict[str, Any]]:
    """Make a mixture of three sources."""
    return [mixture_row("headqa", 1200), mixture_row("medical_flashcards", 800), mixture_row("medquad", 900)]
