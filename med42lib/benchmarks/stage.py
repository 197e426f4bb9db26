"""The benchmarks stage: publishers' files in, one list of evaluation items out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from med42lib.benchmarks.config import BenchmarksConfig
from med42lib.core.edges import Source, Target
from med42lib.core.log import log
from med42lib.core.rejects import REJECTS_FILE

if TYPE_CHECKING:
    from med42lib.benchmarks.family import Family, Questions
    from med42lib.core.reading import DataFolder
    from med42lib.core.records import BenchmarkItem

SUMMARY_FILE = "summary.json"


def benchmarks(config: BenchmarksConfig, *, data: Source, items: Target) -> None:
    """Mirror the evaluation items that decontamination and evaluation both read.

    Writes `items.jsonl` (by benchmark, then in the publisher's order), `rejects.jsonl` (every record that was set
    aside, with file, line and reason) and `summary.json` (counts and licence by benchmark).

    Raises:
        DataError: If a benchmark is missing, unreadable or too broken.
    """
    from med42lib.benchmarks.family import load_family
    from med42lib.core.reading import DataFolder
    from med42lib.core.records import write_items

    kept: list[BenchmarkItem] = []
    summary: dict[str, Any] = {}
    with items.path(REJECTS_FILE).open("w", encoding="utf-8") as rejects:
        for name in sorted(config.include):
            family, folder = load_family(name), DataFolder(data)
            for benchmark, questions in family.read(folder, config.include[name]).items():
                chosen, summary[benchmark] = _take(config, family, folder, benchmark, questions, rejects.write)
                kept += chosen
    items.rows = write_items(items.folder, kept)
    items.path(SUMMARY_FILE).write_text(json.dumps(summary, indent=1, ensure_ascii=False), encoding="utf-8")
    log("benchmarks").info("%s items of %d benchmarks", f"{items.rows:,}", len(summary))


def _take(
    config: BenchmarksConfig,
    family: Family,
    folder: DataFolder,
    benchmark: str,
    questions: Questions,
    write_reject: Callable[[str], object],
) -> tuple[list[BenchmarkItem], dict[str, Any]]:
    """Read one benchmark: its items, at most as many as its limit, and its row of the summary."""
    from med42lib.benchmarks.items import as_items, limited
    from med42lib.core.progress import track
    from med42lib.core.rejects import Tally

    tally = Tally(benchmark, write_reject)
    usable = list(track(tally.keep(as_items(benchmark, questions)), f"reading {benchmark}", unit="items"))
    tally.check(config.max_rejected_share)
    limit = config.include[family.name].limit
    chosen = limited(usable, limit, seed=config.seed)
    counts = tally.counts()
    log("benchmarks").info(
        "%s: %s items of %s records, %s excluded, %s rejected",
        benchmark,
        *(f"{n:,}" for n in (len(chosen), counts["read"], counts["excluded"], counts["rejected"])),
    )
    summary = {"title": family.title, "licence": family.licence, "citation": family.citation}
    return chosen, {**summary, "items": len(chosen), "usable": len(usable), "limit": limit, **counts}
