"""Reading one source: its files become sorted runs of cleaned examples, rejects and counts, kept for the next run.

Each source is read in a process of its own, so nothing here knows of the others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from med42lib.assemble.config import AssembleConfig, SourceConfig
from med42lib.assemble.conversations.columns import batches, examples
from med42lib.assemble.mixing.spill import RunWriter
from med42lib.assemble.own.source import module_of, source_of
from med42lib.assemble.source import ReadOptions, TrainingSource
from med42lib.core.errors import DataError
from med42lib.core.hashing import content_hash
from med42lib.engine.closure import closure
from med42lib.engine.key import code_digest
from med42lib.formats.rejects import REJECTS_FILE, Tally
from med42lib.readers.files import DataFolder
from med42lib.readers.unread import UnreadFields
from med42lib.store.address import dataset_address
from med42lib.store.artifacts import Source, listing
from med42lib.store.cache import StageCache
from med42lib.store.manifest import files_digest

SUMMARY_FILE = "summary.json"
_OWN, _PUBLISHED = "med42lib/readers/own/README.md", "med42lib/assemble/sources/README.md"

Advance = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Reading:
    """What is to be read: one source, its settings, and the files that it may open."""

    name: str
    settings: SourceConfig
    read_options: ReadOptions
    seed: int
    max_rejected_share: float
    path: str
    data: Source

    @property
    def source(self) -> TrainingSource:
        """What the source is, and how it is read."""
        return source_of(self.name, self.settings)

    @property
    def key(self) -> str:
        """Name the result by what it is made of: settings, the code and libraries that read it, and the files in reach.

        The target is not among them: another sample of the same source needs no reading. Nor is another source's code.
        """
        settings = self.settings.model_dump(mode="json", exclude={"target", "repeat"})
        ingredients = [
            self.name,
            json.dumps(
                [settings, self.read_options.multiple_choice, self.seed, self.max_rejected_share], sort_keys=True
            ),
            code_digest(closure([__name__, module_of(self.name, self.settings)])),
            files_digest(self.data.files),
        ]
        return content_hash(*ingredients)


def readings(config: AssembleConfig, data: Source, cache: Path) -> list[Reading]:
    """Say what is to be read, by the sources' names.

    Raises:
        DataError: If sources are missing, all of them at once; or one on the hub cannot be listed.
    """
    found = [reading_of(config, name, data, cache) for name in sorted(config.sources)]
    _check_there(found, data)
    return found


def _check_there(readings: Sequence[Reading], data: Source) -> None:
    missing = [reading for reading in readings if not is_there(reading)]
    if missing:
        lines = "".join(f"\n  {reading.name}: {reading.data.address} has no {reading.path!r}" for reading in missing)
        documents = sorted({_OWN if reading.settings.format else _PUBLISHED for reading in missing})
        raise DataError(
            f"{len(missing)} of {len(readings)} sources are missing; {data.address} has {listing(data.files)}{lines}\n"
            f"put the files there (see {' and '.join(documents)}), or name their place with assemble.sources.NAME.path"
        )


def is_there(reading: Reading) -> bool:
    """Say whether the source's file or folder is there."""
    return DataFolder(reading.data).holds(reading.path)


def reading_of(config: AssembleConfig, name: str, data: Source, cache: Path) -> Reading:
    """Say what is to be read of one source, whether it is there or not."""
    settings = config.sources[name]
    layout = source_of(name, settings).layout(settings.layout)
    read_options = ReadOptions(
        settings.multiple_choice or config.multiple_choice,
        settings.explanations,
        settings.include,
        settings.benchmark_tasks,
    )
    if settings.hub is not None:
        data, usual = Source(dataset_address(settings.hub), cache=cache / name), layout.hub_path
    else:
        usual = layout.path
    path = settings.path or usual
    return Reading(name, settings, read_options, config.seed, config.max_rejected_share, path, _narrowed(data, path))


def _narrowed(data: Source, path: str) -> Source:
    """Keep in reach what a source at `path` may open: the folder, or the file with its neighbours.

    So a change elsewhere in the data folder does not concern the source.
    """
    folder = DataFolder(data).folder_of(path)
    files = tuple(entry for entry in data.files if not folder or entry.path.startswith(f"{folder}/"))
    return data.narrowed(files) if files else data


def prepare(reading: Reading, cache: StageCache, advance: Advance) -> Path:
    """Read one source into the cache, where later runs find it by the reading's key.

    Returns:
        The folder of runs, keys, rejects and summary.

    Raises:
        DataError: If its files are missing or unreadable, hold nothing usable, or too many records are broken; or if
            they changed meanwhile.
    """
    key = reading.key
    read_source(reading, cache.scratch(key), advance)
    reading.data.check_unchanged()
    return cache.keep(key)


def read_source(reading: Reading, folder: Path, advance: Advance, **limits: int) -> None:
    """Read one source's files and write runs, keys, rejects and summary to `folder`."""
    source, data = reading.source, DataFolder(reading.data)
    layout = source.layout(reading.settings.layout)
    writer = RunWriter(folder, reading.seed, **limits)
    with (folder / REJECTS_FILE).open("w", encoding="utf-8") as rejects:
        tally, unread = Tally(source.name, rejects.write), UnreadFields()
        found = unread.counted(layout.read(data, reading.path, reading.read_options))
        for conversations in batches(tally.keep(found)):
            writer.add(examples(conversations, source, reading.settings.licence))
            advance(len(conversations))
    tally.check(reading.max_rejected_share)
    writer.close()
    summary = {
        "files": _files(reading.data, data.opened),
        **tally.counts(),
        "unread_fields": unread.counts(),
        "notes": data.notes,
    }
    (folder / SUMMARY_FILE).write_text(json.dumps(summary, ensure_ascii=False), encoding="utf-8")


def _files(data: Source, names: Sequence[str]) -> list[dict[str, Any]]:
    wanted = set(names)
    return [{"path": e.path, "bytes": e.bytes, "sha256": e.sha256} for e in data.files if e.path in wanted]
