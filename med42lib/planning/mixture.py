"""How many rows and tokens the mixture will have: counted where the files are here, estimated where they are not.

    files here, read to their end        rows counted         tokens per row measured
    files here, more than `MOST_READ`    the target's rows    measured on those read
    elsewhere, or not there              the target's rows    as the source's module says

For the target `all` of a source that was not read to its end, the rows are those of the paper's Table A1. Rows that
assemble will drop, duplicates or those outside the limits of length, are counted too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from med42lib.assemble.config import AssembleConfig
from med42lib.assemble.source import load_source
from med42lib.core.errors import DataError
from med42lib.formats.prompt import render
from med42lib.formats.records import Exchange
from med42lib.formats.rejects import Tally
from med42lib.readers.files import DataFolder
from med42lib.store.address import open_store
from med42lib.store.artifacts import Source
from med42lib.store.manifest import FileEntry

if TYPE_CHECKING:
    from med42lib.assemble.reading.read_source import Reading

BYTES_PER_TOKEN = 3.85
"""Of Llama-2's tokenizer on real medical question-answering text; other tokenizers and texts differ."""

MOST_READ = 20_000
"""Rows that are read of a source: all of most, in a second or two."""


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """What one source will bring into the mixture, repeats included; `remark` says why a number is an estimate."""

    name: str
    rows: int
    tokens_per_row: float
    rows_counted: bool
    tokens_measured: bool
    remark: str

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


def plan_sources(config: AssembleConfig, address: str, cache: Path) -> Iterator[SourcePlan]:
    """Plan each source of the mixture, by name.

    Args:
        config: Targets, and how records are written.
        address: Of the training data, which need not be there.
        cache: As of `reading_of`; nothing is put there, since no file of a remote place is fetched.

    Raises:
        AccessError, StoreError, StoreUnavailable: If the place of the training data cannot be asked.
    """
    data, why_not = _listed(address)
    for name in sorted(config.sources):
        sample, remark = (None, why_not) if data is None else _sample(config, name, data, cache)
        yield _planned(config, name, sample, remark)


def count_chunks(sources: Sequence[SourcePlan], chunk_length: int) -> int:
    """Count the chunks that hold all tokens if no slot stays empty; at least 1."""
    return max(1, math.ceil(sum(source.tokens for source in sources) / chunk_length))


def _listed(address: str) -> tuple[Source | None, str]:
    """Open the training data without hashing them; None, and why, if there are none."""
    source = Source(address)
    try:
        sizes = source.sizes()
    except DataError as error:
        return None, f"missing: {error}"
    if source.manifest is not None:
        return source, ""
    return Source(address, files=tuple(FileEntry(name, size, "") for name, size in sizes.items())), ""


def _sample(config: AssembleConfig, name: str, data: Source, cache: Path) -> tuple[_Sample | None, str]:
    """Read a source's first rows; None, and why, if they are not on this machine or cannot be read."""
    if config.sources[name].hub is not None:
        return None, "on the hub, which was not asked"
    try:
        from med42lib.assemble.reading.read_source import is_there, reading_of

        reading = reading_of(config, name, data, cache)
        if not is_there(reading):
            return None, f"missing: {data.address} has no {reading.path!r}"
        if open_store(data.address).local_path("") is None:
            return None, "not on this machine, so not read"
        sizes = list(islice(_row_bytes(reading), MOST_READ + 1))
    except DataError as error:
        return None, f"cannot be read: {error}"
    except ModuleNotFoundError as error:
        return None, f"not read, since {error.name} is not installed"
    if not sizes:
        return None, f"{reading.path!r} holds no usable rows"
    whole = len(sizes) <= MOST_READ
    return _Sample(len(sizes), sum(sizes) / len(sizes), whole), "" if whole else f"has more than {MOST_READ:,} rows"


def _row_bytes(reading: Reading) -> Iterator[int]:
    """Read a source, and give each row's size in the prompt format."""
    from med42lib.assemble.conversations.columns import batches, examples

    layout = reading.source.layout(reading.settings.layout)
    records = layout.read(DataFolder(reading.data), reading.path, reading.read_options)
    for batch in batches(Tally(reading.name, _nowhere).keep(records)):
        rows = examples(batch, reading.source, reading.settings.licence)
        for system, exchanges in zip(rows["system"].to_pylist(), rows["exchanges"].to_pylist(), strict=True):
            yield len(render(system, [Exchange(**exchange) for exchange in exchanges]).text.encode())


def _nowhere(_line: str) -> None:
    """Write no rejects."""


def _planned(config: AssembleConfig, name: str, sample: _Sample | None, remark: str) -> SourcePlan:
    settings, source = config.sources[name], load_source(name)
    whole = sample is not None and sample.whole
    available = sample.rows if sample and whole else source.num_paper
    wanted = settings.wanted(available=available, total=config.total)
    there = sample is not None and settings.target != "all" and wanted < sample.rows
    return SourcePlan(
        name=name,
        rows=(min(wanted, available) if whole else wanted) * settings.repeat,
        tokens_per_row=sample.bytes_per_row / BYTES_PER_TOKEN if sample else source.tokens_per_row,
        rows_counted=whole or there,
        tokens_measured=sample is not None,
        remark="" if whole or there else remark,
    )
