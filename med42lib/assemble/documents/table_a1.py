"""The mixture beside the paper's Table A1, for people (`mixture.md`) and for spreadsheets (`mixture.csv`)."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from med42lib.core.markdown import bold, escape_markdown, markdown_table
from med42lib.core.printable import counted, no_formula, one_line
from med42lib.formats.mixture_table import (
    COUNT_TITLES,
    NOT_THE_PAPERS,
    MixtureLine,
    MixtureRow,
    MixtureTable,
    mixture_table,
    two_decimals,
)

_ALWAYS = {"read", "kept", "target_rows", "sampled"}
_CSV_TITLES = (
    *("kind", "name", "title", "paper_examples", "paper_percent", "examples", "percent"),
    *("difference_examples", "difference_points", "why", "paper_origin"),
)
NOT_COMPARED = "Near-duplicates were not looked for."


def mixture_markdown(rows: Sequence[MixtureRow], near_duplicates: str = "") -> str:
    """Write the whole account of the mixture.

    Args:
        rows: The rows of `mixture.json`.
        near_duplicates: What was found of them, in a sentence; empty if they were not looked for.
    """
    table = mixture_table(rows)
    parts = [
        "# The training mixture",
        f"{counted(table.num_examples, 'example')} from {counted(len(rows), 'source')}.",
        f"## {'Beside the Table A1 of the paper' if table.is_papers else 'Sources'}",
        table_a1(table),
        table.general_share(),
        "## From records read to examples taken",
        counts_table(rows),
        _COUNTS_NOTE,
        *_reasons(rows),
        *_notes(rows),
        *_unread_fields(rows),
        "## Near-duplicates",
        near_duplicates or NOT_COMPARED,
        *_origins(table),
    ]
    return "\n\n".join(parts) + "\n"


_COUNTS_NOTE = (
    "Rejected: broken records. Excluded: sound records that must not be used, such as official test questions. "
    "Duplicates: rows of the source that say the same but for case and white space. Every record set aside is in "
    "`rejects.jsonl` with file, line and reason; the files read are in `mixture.json` with their SHA-256."
)


def table_a1(table: MixtureTable) -> str:
    """Write the mixture's table in Markdown, with the paper's numbers beside ours.

    If the mixture is not the paper's, the paper's counts come last, and are not compared.
    """
    if table.is_papers:
        titles = ("Source", "Table A1", "%", "Here", "%", "Difference", "Points", "Why")
        return markdown_table(
            "lrrrrrrl", titles, [(_bold(line), *table.numbers(line), line.why) for line in table.lines]
        )
    lines = []
    for line in table.lines:
        *here, paper = table.numbers(line)
        lines.append((_bold(line), *here, line.why, paper))
    written = markdown_table("lrrlr", ("Source", "Examples", "%", "Why", "The paper's Table A1"), lines)
    return f"{written}\n\n{NOT_THE_PAPERS}"


def _bold(line: MixtureLine) -> str:
    return line.title if line.kind == "source" else bold(line.title)


def counts_table(rows: Sequence[MixtureRow]) -> str:
    """Write what became of each source's records in Markdown; columns of zeros are left out."""
    counts = {key: title for key, title in COUNT_TITLES.items() if key in _ALWAYS or any(row[key] for row in rows)}
    lines = [(row["title"], *(f"{row[key]:,}" for key in counts)) for row in rows]
    total = (bold("Total"), *(f"{sum(row[key] for row in rows):,}" for key in counts))
    return markdown_table("l" + "r" * len(counts), ("Source", *counts.values()), [*lines, total])


def _reasons(rows: Sequence[MixtureRow]) -> list[str]:
    """List why records were rejected or excluded, the commonest reason of each source first."""
    lines = [
        f"- {escape_markdown(row['title'])}: {count:,} {kind}, {escape_markdown(reason)}"
        for row in rows
        for kind in ("rejected", "excluded")
        for reason, count in _commonest(row[f"{kind}_by_reason"])
    ]
    return ["## Why records were set aside", "\n".join(lines)] if lines else []


def _notes(rows: Sequence[MixtureRow]) -> list[str]:
    """Say what the sources' readers found missing."""
    lines = [f"- {escape_markdown(row['title'])}: {escape_markdown(note)}" for row in rows for note in row["notes"]]
    return ["## What is missing", "\n".join(lines)] if lines else []


def _unread_fields(rows: Sequence[MixtureRow]) -> list[str]:
    """List the publishers' fields of which nothing is taught."""
    lines = [
        f"- {escape_markdown(row['title'])}: {', '.join(map(escape_markdown, row['unread_fields']))}"
        for row in rows
        if row["unread_fields"]
    ]
    return ["## Fields with text that is not used", "\n".join(lines)] if lines else []


def _commonest(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))


def _origins(table: MixtureTable) -> list[str]:
    if not table.is_papers:
        return []
    lines = [
        f"- {escape_markdown(line.title)}, {line.paper:,}: {escape_markdown(line.origin)}"
        for line in table.sources
        if line.paper
    ]
    return [
        "## How the paper seems to have come to its counts",
        "The paper gives the counts alone; the rest is inferred from the sizes of the sources.",
        "\n".join(lines),
    ]


def mixture_csv(rows: Sequence[MixtureRow]) -> str:
    """Write the table for spreadsheets; what is compared with nothing is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV_TITLES)
    table = mixture_table(rows)
    writer.writerows(_csv_row(line, compared=table.is_papers) for line in table.lines)
    return text.getvalue()


def _csv_row(line: MixtureLine, *, compared: bool) -> list[Any]:
    differences = [line.difference, _percent(line.points)] if compared else [None, None]
    paper = [line.paper, _percent(line.paper_share)]
    here = [line.examples, _percent(line.share)]
    texts = (line.name, line.title, line.why, line.origin)
    name, title, why, origin = (no_formula(one_line(text)) for text in texts)
    return [line.kind, name, title, *paper, *here, *differences, why, origin]


def _percent(share: float | None) -> str | None:
    return None if share is None else two_decimals(share)
