"""The benchmarks stage: publishers' files in, one list of evaluation items out."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from med42lib.benchmarks.config import BenchmarkConfig, BenchmarksConfig
from med42lib.core.errors import DataError
from med42lib.core.json_file import write_json
from med42lib.core.log import log
from med42lib.formats.rejects import REJECTS_FILE
from med42lib.store.artifacts import Source, Target

if TYPE_CHECKING:
    from med42lib.benchmarks.family import Absent, AnyQuestions, Family
    from med42lib.formats.records import BenchmarkItem


def benchmarks(config: BenchmarksConfig, *, data: Source, items: Target) -> None:
    """Mirror the evaluation items that decontamination and evaluation both read.

    Writes `items.jsonl` (by benchmark, then in the publisher's order), `rejects.jsonl` (every record that was set
    aside, with file, line and reason) and `summary.json` (counts and licence by benchmark). A benchmark that users
    bring themselves and have not brought is named in the log and in the summary, and the others go on.

    Raises:
        DataError: If a benchmark is missing, unreadable or too broken, or there is none at all.
    """
    from med42lib.formats.item_counts import ITEMS_SUMMARY_FILE
    from med42lib.formats.records import write_items

    with (
        tempfile.TemporaryDirectory(prefix=".hub-", dir=items.folder.parent) as cache,
        items.path(REJECTS_FILE, note=True).open("w", encoding="utf-8") as rejects,
    ):
        kept, summary = _read_all(config, data, Path(cache), rejects.write)
    if not kept:
        raise DataError("there is no question to ask: every benchmark is absent\n" + _all_advice(summary))
    _note_shared(kept, summary)
    items.rows = write_items(items.folder, kept)
    write_json(items.path(ITEMS_SUMMARY_FILE), summary)
    log("benchmarks").info("%s items of %d benchmarks", f"{items.rows:,}", len({item.benchmark for item in kept}))


def _read_all(
    config: BenchmarksConfig, data: Source, cache: Path, write_reject: Callable[[str], object]
) -> tuple[list[BenchmarkItem], dict[str, Any]]:
    """Read every benchmark: all items, and the summary by benchmark."""
    from med42lib.benchmarks.family import Absent
    from med42lib.benchmarks.own import family_of
    from med42lib.readers.files import DataFolder

    kept: list[BenchmarkItem] = []
    summary: dict[str, Any] = {}
    for name in sorted(config.include):
        settings = config.include[name]
        family = family_of(name, settings)
        folder = DataFolder(_source(settings, data, cache / name))
        for benchmark, found in family.read(folder, settings).items():
            if isinstance(found, Absent):
                summary[benchmark] = _leave_out(family, benchmark, found)
            else:
                chosen, summary[benchmark] = _take(config, family, benchmark, found, write_reject)
                kept += chosen
        for note in folder.notes:
            log("benchmarks").warning("%s: %s", name, note)
    return kept, summary


def _source(settings: BenchmarkConfig, data: Source, cache: Path) -> Source:
    """Say where a benchmark's files come from: the hub, if its settings name a repository there, or the data folder."""
    if settings.hub is None:
        return data
    from med42lib.store.address import dataset_address

    return Source(dataset_address(settings.hub), cache=cache)


def _leave_out(family: Family, benchmark: str, absent: Absent) -> dict[str, Any]:
    """Say that a benchmark is not there, and how to bring it; gives its row of the summary."""
    log("benchmarks").warning("%s is left out: %s", benchmark, absent.advice)
    return {**_facts(family, None), "items": 0, "absent": absent.advice}


def _all_advice(summary: dict[str, Any]) -> str:
    return "\n".join(f"  {benchmark}: {row['absent']}" for benchmark, row in summary.items())


def _take(
    config: BenchmarksConfig,
    family: Family,
    benchmark: str,
    questions: AnyQuestions,
    write_reject: Callable[[str], object],
) -> tuple[list[BenchmarkItem], dict[str, Any]]:
    """Read one benchmark: its items, at most as many as its limit, and its row of the summary."""
    from med42lib.benchmarks.items import as_items
    from med42lib.core.progress import track
    from med42lib.formats.item_limit import limited
    from med42lib.formats.rejects import Tally
    from med42lib.readers.unread import UnreadFields

    settings = config.include[family.name]
    tally, unread = Tally(benchmark, write_reject), UnreadFields()
    usable = list(
        track(tally.keep(as_items(benchmark, unread.counted(questions))), f"reading {benchmark}", unit="items")
    )
    tally.check(config.max_rejected_share)
    chosen = limited(usable, settings.limit, seed=config.seed)
    counts = {
        "items": len(chosen),
        "items_by_num_options": _by_num_options(chosen),
        "right_option_twice": sum(len(item.right) > 1 for item in chosen),
        "usable": len(usable),
        "limit": settings.limit,
        "hub": settings.hub,
        **tally.counts(),
        "unread_fields": unread.counts(),
    }
    log("benchmarks").info("%s: %s", benchmark, _sentence(counts))
    return chosen, {**_facts(family, settings.licence), **counts}


def _facts(family: Family, licence: str | None) -> dict[str, Any]:
    return {"title": family.title, "licence": licence or family.facts.licence, "citation": family.facts.citation}


def _by_num_options(items: Sequence[BenchmarkItem]) -> dict[str, int]:
    """Count items by number of options, which is what a guess is worth; as JSON needs them, the keys are text.

    Items whose answer is written have none, and are not counted.
    """
    counts = Counter(len(item.options) for item in items if item.options)
    return {str(num_options): counts[num_options] for num_options in sorted(counts)}


def _sentence(counts: dict[str, Any]) -> str:
    """Say what became of a benchmark's questions: "2,675 items of 2,742 questions; 67 excluded: ..."."""
    aside = [
        f"{number:,} {kind}: {reason}"
        for kind in ("excluded", "rejected")
        for reason, number in counts[f"{kind}_by_reason"].items()
    ]
    tied = counts["right_option_twice"]
    twice = [f"{tied:,} with the right option twice, where either is right"] if tied else []
    return "; ".join([f"{counts['items']:,} items of {counts['read']:,} questions", *twice, *aside])


def _note_shared(items: Sequence[BenchmarkItem], summary: dict[str, Any]) -> None:
    """Count the questions that several benchmarks ask: an average over those benchmarks counts them twice."""
    from med42lib.benchmarks.items import asked_elsewhere

    for benchmark, number in asked_elsewhere(items).items():
        summary[benchmark]["asked_by_another_benchmark"] = number
        log("benchmarks").warning(
            "%s: %s of its questions are asked by another benchmark too", benchmark, f"{number:,}"
        )
