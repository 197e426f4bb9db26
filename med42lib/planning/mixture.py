"""How many rows and tokens the mixture will have: counted where the files are here, estimated where they are not.

    files here, read to their end        rows counted         tokens per row measured
    files here, more than `MOST_READ`    the target's rows    measured on those read
    elsewhere, or not there              the target's rows    as the source's module says

For the target `all` of a source that was not read to its end, the rows are those of the paper's Table A1. Rows that
assemble will drop, duplicates or those outside the limits of length, are counted too. A source of the user's own, of
which no paper says how many rows it has, is always read to its end; elsewhere its files' size says about how many.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from med42lib.assemble.config import AssembleConfig
from med42lib.assemble.own.source import SPLITS, source_of
from med42lib.core.errors import DataError, Problem
from med42lib.formats.prompt import render
from med42lib.formats.records import Exchange
from med42lib.formats.rejects import Tally
from med42lib.pack.config import PackConfig
from med42lib.readers.files import DataFolder
from med42lib.readers.own.tables import own_names
from med42lib.store.address import open_store
from med42lib.store.artifacts import Source
from med42lib.store.manifest import FileEntry

if TYPE_CHECKING:
    from med42lib.assemble.reading.read_source import Reading
    from med42lib.assemble.source import TrainingSource

BYTES_PER_TOKEN = 3.85
"""Of Llama-2's tokenizer on real medical question-answering text; other tokenizers and texts differ."""

MOST_READ = 20_000
"""Rows that are read of a source: all of most, in a second or two."""


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """What one source will bring into the mixture, repeats included; `remark` says why a number is an estimate.

    `refused` says why `assemble` will stop at it, if it will.
    """

    name: str
    rows: int
    tokens_per_row: float
    rows_counted: bool
    tokens_measured: bool
    remark: str
    is_there: bool | None = None
    """None where nobody looked: on a hub."""
    refused: str = ""

    @property
    def tokens(self) -> float:
        """Tokens of all its rows."""
        return self.rows * self.tokens_per_row


@dataclass(frozen=True, slots=True)
class _Sample:
    """Rows read of a source; `whole` if there are no more."""

    rows: int
    bytes_per_row: float
    whole: bool


@dataclass(frozen=True, slots=True)
class _Look:
    """What was seen of a source: rows, why there are none or not all, whether its files are there, and their size."""

    sample: _Sample | None
    remark: str
    is_there: bool | None
    num_bytes: int = 0
    refused: str = ""


def plan_sources(config: AssembleConfig, address: str, cache: Path) -> Iterator[SourcePlan]:
    """Plan each source of the mixture, by name.

    Args:
        config: Targets, and how records are written.
        address: Of the training data, which need not be there.
        cache: As of `reading_of`; nothing is put there, since no file of a remote place is fetched.

    Raises:
        AccessError, StoreError, StoreUnavailable: If the place of the training data cannot be asked.
    """
    data, why_not = listed(address)
    for name in sorted(config.sources):
        yield _planned(config, name, _Look(None, why_not, False) if data is None else _look(config, name, data, cache))


def count_trained_tokens(sources: Sequence[SourcePlan], pack: PackConfig) -> float:
    """Count the tokens of an epoch: those of all rows but the share that is held out."""
    return sum(source.tokens for source in sources) * (1 - pack.validation_share)


def count_chunks(sources: Sequence[SourcePlan], pack: PackConfig) -> int:
    """Count the chunks of an epoch if no slot stays empty; at least 1."""
    return max(1, math.ceil(count_trained_tokens(sources, pack) / pack.chunk_length))


def unusable_sources(sources: Sequence[SourcePlan]) -> Iterator[Problem]:
    """List the sources that `assemble` will refuse.

    More of their rows are broken than may be, or their files are missing where others' are; with none there, the data
    are yet to come.
    """
    for source in sources:
        if source.refused:
            yield Problem(f"assemble.sources.{source.name}", source.refused)
    if any(source.is_there for source in sources):
        for source in sources:
            if source.is_there is False:
                yield Problem(f"assemble.sources.{source.name}", f"{source.remark}; add its files, or take it out")


def listed(address: str) -> tuple[Source | None, str]:
    """Open data without hashing them; None, and why, if there are none."""
    source = Source(address)
    try:
        sizes = source.sizes()
    except DataError as error:
        return None, f"missing: {error}"
    if source.manifest is not None:
        return source, ""
    return Source(address, files=tuple(FileEntry(name, size, "") for name, size in sizes.items())), ""


def _look(config: AssembleConfig, name: str, data: Source, cache: Path) -> _Look:
    """Read a source's first rows, if they are on this machine and can be read."""
    if config.sources[name].hub is not None:
        return _Look(None, "on the hub, which was not asked", None)
    try:
        from med42lib.assemble.reading.read_source import is_there, reading_of

        reading = reading_of(config, name, data, cache)
        if not is_there(reading):
            return _Look(None, f"missing: {data.address} has no {reading.path!r}", False)
        if open_store(data.address).local_path("") is None:
            return _Look(None, "not on this machine, so not read", True, _num_bytes(reading))
        most = MOST_READ if reading.source.num_paper else None
        tally = Tally(name)
        sizes = list(islice(_row_bytes(reading, tally), most and most + 1))
    except DataError as error:
        return _Look(None, f"cannot be read: {error}", True)
    except ModuleNotFoundError as error:
        return _Look(None, f"not read, since {error.name} is not installed", None)
    whole = most is None or len(sizes) <= most
    refused = _refused(tally, config) if whole else ""
    if not sizes:
        return _Look(None, f"{reading.path!r} holds no usable rows", True, refused=refused)
    sample = _Sample(len(sizes), sum(sizes) / len(sizes), whole)
    return _Look(sample, "" if whole else f"has more than {MOST_READ:,} rows", True, refused=refused)


def _refused(tally: Tally, config: AssembleConfig) -> str:
    """Say in a line what `assemble` will; empty if it takes the source."""
    try:
        tally.check(config.max_rejected_share)
    except DataError as error:
        return "; ".join(line.strip() for line in str(error).removeprefix(f"{tally.source}: ").splitlines())
    return ""


def _row_bytes(reading: Reading, tally: Tally) -> Iterator[int]:
    """Read a source, and give each row's size in the prompt format."""
    from med42lib.assemble.conversations.columns import batches, examples

    layout = reading.source.layout(reading.settings.layout)
    records = layout.read(DataFolder(reading.data), reading.path, reading.read_options)
    for batch in batches(tally.keep(records)):
        rows = examples(batch, reading.source, reading.settings.licence)
        for system, exchanges in zip(rows["system"].to_pylist(), rows["exchanges"].to_pylist(), strict=True):
            yield len(render(system, [Exchange(**exchange) for exchange in exchanges]).text.encode())


def _planned(config: AssembleConfig, name: str, look: _Look) -> SourcePlan:
    settings, sample = config.sources[name], look.sample
    source = source_of(name, settings)
    whole = sample is not None and sample.whole
    available = sample.rows if sample and whole else source.num_paper or _guessed_rows(look, source)
    wanted = settings.wanted(available=available, total=config.total)
    there = sample is not None and settings.target != "all" and wanted < sample.rows
    return SourcePlan(
        name=name,
        rows=(min(wanted, available) if whole else wanted) * settings.repeat,
        tokens_per_row=sample.bytes_per_row / BYTES_PER_TOKEN if sample else source.tokens_per_row,
        rows_counted=whole or there,
        tokens_measured=sample is not None,
        remark="" if whole or there else look.remark + ("" if available else "; counted as no rows"),
        is_there=look.is_there,
        refused=look.refused,
    )


def _guessed_rows(look: _Look, source: TrainingSource) -> int:
    return math.ceil(look.num_bytes / BYTES_PER_TOKEN / source.tokens_per_row)


def _num_bytes(reading: Reading) -> int:
    """Add up the files of a source of the user's own; 0 for a publisher's, of which the paper says how many rows."""
    if reading.settings.format is None:
        return 0
    sizes = reading.data.sizes()
    return sum(sizes[name] for name in own_names(DataFolder(reading.data), reading.path, SPLITS))
