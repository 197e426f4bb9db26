"""The table of the mixture: for each source who made it, what was read, and what of it was taken, and why not all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from med42lib.assemble.mixing.select import Counts
from med42lib.assemble.reading.read_source import SUMMARY_FILE, Reading


def mixture_rows(
    readings: Sequence[Reading], folders: Sequence[Path], counts: Sequence[Counts]
) -> list[dict[str, Any]]:
    """Give one row per source, for `mixture.json`.

    The counts follow one another: of what was `read`, some was `rejected` or `excluded`, some `too_short` or
    `too_long`, some a duplicate; what is left is `kept`, and of that the target takes `sampled`.
    """
    return [_row(*parts) for parts in zip(readings, folders, counts, strict=True)]


def _row(reading: Reading, folder: Path, counts: Counts) -> dict[str, Any]:
    source, settings = reading.source, reading.settings
    return {
        "source": source.name,
        "title": source.title,
        "domain": source.domain,
        "licence": settings.licence or source.facts.licence,
        "attribution": source.facts.attribution,
        "citation": source.facts.citation,
        "layout": settings.layout,
        "format": settings.format,
        "hub": settings.hub,
        **json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8")),
        "too_short": counts.too_short,
        "too_long": counts.too_long,
        "duplicates": counts.duplicates,
        "duplicates_across_sources": counts.duplicates_across_sources,
        "kept": counts.kept,
        "target": settings.target,
        "target_rows": counts.target,
        "sampled": counts.sampled,
        "repeated": counts.repeated,
        "short_by": counts.short_by,
        "left_over": counts.left_over,
        "num_paper": source.num_paper,
        "num_paper_origin": source.num_paper_origin,
    }
