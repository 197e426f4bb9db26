"""From one source's files to its share of the mixture, with the numbers that show how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from med42lib.assemble.config import AssembleConfig
from med42lib.assemble.source import Form, TrainingSource
from med42lib.core.edges import Source
from med42lib.core.progress import track
from med42lib.core.reading import DataFolder
from med42lib.core.records import Example
from med42lib.core.rejects import Tally
from med42lib.core.sampling import lowest


@dataclass(frozen=True, slots=True)
class Share:
    """What one source gave: the chosen examples, and its row of `mixture.json`."""

    chosen: list[Example]
    row: dict[str, Any]


def take_share(
    source: TrainingSource, config: AssembleConfig, data: Source, write_reject: Callable[[str], object]
) -> Share:
    """Read one source, drop exact duplicates, and sample it to its target.

    All its examples are held in memory.

    Raises:
        DataError: If its files are missing or unreadable, hold nothing usable, or too many records are broken.
    """
    settings = config.sources[source.name]
    layout = source.layout(settings.layout)
    form = Form(
        settings.multiple_choice or config.multiple_choice,
        settings.explanations,
        settings.include,
        settings.benchmark_tasks,
    )
    licence = settings.licence or source.licence
    folder = DataFolder(data)
    tally = Tally(source.name, write_reject)
    records = tally.keep(layout.read(folder, settings.path or layout.path, form))
    examples = [source.example(record, licence) for record in track(records, f"reading {source.name}")]
    tally.check(config.max_rejected_share)
    unique = without_duplicates(examples)
    chosen = sample(unique, settings.target, seed=config.seed)
    row = {
        "source": source.name,
        "title": source.title,
        "licence": licence,
        "attribution": source.attribution,
        "citation": source.citation,
        "files": _files(data, folder.opened),
        **tally.counts(),
        "duplicates": len(examples) - len(unique),
        "kept": len(unique),
        "target": settings.target,
        "sampled": len(chosen),
        "short_by": 0 if settings.target == "all" else settings.target - len(chosen),
    }
    return Share(chosen, row)


def without_duplicates(examples: Sequence[Example]) -> list[Example]:
    """Keep the first of several examples that say exactly the same."""
    first: dict[str, Example] = {}
    for example in examples:
        first.setdefault(example.id, example)
    return list(first.values())


def sample(examples: Sequence[Example], target: int | Literal["all"], *, seed: int) -> list[Example]:
    """Take at most `target` examples by a keyed hash of their content.

    The order of the examples does not change which are taken, and a larger target takes the same ones and more.
    """
    count = len(examples) if target == "all" else target
    return lowest(examples, count, seed=seed, id=lambda example: example.id)


def _files(data: Source, names: Sequence[str]) -> list[dict[str, Any]]:
    wanted = set(names)
    return [{"path": e.path, "bytes": e.bytes, "sha256": e.sha256} for e in data.files if e.path in wanted]
