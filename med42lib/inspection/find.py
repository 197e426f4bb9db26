"""Which row is meant: the run it is looked up in, its id or a part of that, and its place in the data set.

A row belongs to the newest packed output that was made from it. Of a data set the ids are read, and of the rest only
the rows that are asked for.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from med42lib.core.errors import ConfigError, DataError, Problem
from med42lib.core.hashing import content_hash
from med42lib.formats.dataset import EXAMPLES_FILE, example_of
from med42lib.formats.records import Example
from med42lib.store.address import open_store
from med42lib.store.artifacts import Source
from med42lib.store.lineage import Lineage, Output, trace
from med42lib.store.publish import sealed_outputs

# The last output that is there is the best to start from: the others are upstream of it.
STAGE_OUTPUTS = (("pack", "packed"), ("decontaminate", "training"), ("assemble", "dataset"))
NUM_SHOWN_IDS = 5
NUM_SHOWN_ROWS = 3


class ExampleFinder:
    """Looks up examples in a folder that assemble or decontaminate wrote. Rows count from 1."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / EXAMPLES_FILE

    def __len__(self) -> int:
        """Count the rows."""
        return len(self._ids)

    def rows(self, wanted: str) -> dict[str, list[int]]:
        """Map each id that is `wanted`, or else begins or ends with it, to its rows.

        `wanted` may also begin where the source's name ends: `3fa9` finds `medquad/3fa9…`.
        """
        matches = pc.equal(self._ids, wanted)
        if not pc.any(matches).as_py():
            inside = pc.match_substring(self._ids, f"/{wanted}")
            matches = pc.or_(pc.or_(pc.starts_with(self._ids, wanted), pc.ends_with(self._ids, wanted)), inside)
        found: dict[str, list[int]] = {}
        for row in pc.indices_nonzero(matches).to_pylist():
            found.setdefault(self._ids[row].as_py(), []).append(row + 1)
        return found

    def similar(self, wanted: str, count: int) -> list[str]:
        """Name the ids that share most with `wanted` at beginning and end, as they do if one letter of it is wrong."""
        ends = wanted.rpartition("/")[2][:2], wanted[-2:]
        near = self._ids.filter(pc.or_(pc.match_substring(self._ids, f"/{ends[0]}"), pc.ends_with(self._ids, ends[1])))
        ids = dict.fromkeys((near if len(near) else self._ids).to_pylist())
        return heapq.nlargest(count, ids, key=lambda id: _likeness(id, wanted))

    def rows_by_source(self) -> dict[str, list[int]]:
        """Group the rows by source, which each id starts with."""
        sources = pc.list_element(pc.split_pattern(self._ids, "/", max_splits=1), 0).to_pylist()
        found: dict[str, list[int]] = {}
        for row, source in enumerate(sources, start=1):
            found.setdefault(source, []).append(row)
        return found

    def id_at(self, row: int) -> str:
        """Give the id in one row."""
        return str(self._ids[row - 1].as_py())

    def example(self, row: int) -> Example:
        """Read one row."""
        with pq.ParquetFile(self._path) as file:
            table = parquet_row(file, row)
            if table is None:
                raise IndexError(f"row {row:,} of {file.metadata.num_rows:,}")
            [values] = table.to_pylist()
            return example_of(values)

    @cached_property
    def _ids(self) -> Any:
        try:
            return pq.read_table(self._path, columns=["id"])["id"]
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self._path} cannot be read ({error}); run assemble again") from error


def parquet_row(file: pq.ParquetFile, row: int) -> pa.Table | None:
    """Read one row, counted from 1, as a table; only its row group is read. None if there are not so many."""
    position = row - 1
    for group in range(file.num_row_groups):
        num_rows = file.metadata.row_group(group).num_rows
        if position < num_rows:
            return file.read_row_group(group).slice(position, 1)
        position -= num_rows
    return None


def _likeness(id: str, wanted: str) -> int:
    without_source = id.rpartition("/")[2]
    return max(_num_shared(id, wanted), _num_shared(without_source, wanted))


def _num_shared(one: str, other: str) -> int:
    beginning = _num_equal(one, other)
    return beginning + _num_equal(one[beginning:][::-1], other[beginning:][::-1])


def _num_equal(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((number for number, (a, b) in pairs if a != b), min(len(one), len(other)))


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set of examples, and the run it belongs to: `root` is the output that the walk started from."""

    root: Output
    lineage: Lineage
    output: Output
    finder: ExampleFinder

    def output_of(self, stage: str, target: str) -> Output | None:
        """Give one of the outputs that a stage of this run wrote; None if it is not there."""
        wanted = (stage, target)
        return next((o for o in self.lineage.outputs if (o.manifest.stage, o.manifest.target) == wanted), None)


@dataclass(frozen=True, slots=True)
class FoundRow:
    """An example's full id, and its rows in the data set as assemble left it."""

    id: str
    rows: list[int]
    dataset: Dataset


def open_outputs(addresses: Sequence[str], cache: Path) -> list[Source]:
    """Open outputs at given addresses: of pack, of a stage before it, or of one that was made from a packed output."""
    return [Source(address, cache=cache / content_hash(address)) for address in addresses]


def newest_outputs(store_address: str, cache: Path) -> list[Source]:
    """Open all finished outputs of a store that a row can be looked up in: packed ones first, newest first.

    Raises:
        DataError: If there are none.
    """
    found: list[Source] = []
    for stage, target in STAGE_OUTPUTS:
        sources = open_outputs(sealed_outputs(open_store(store_address), stage, target), cache)
        found += sorted(sources, key=_created_at, reverse=True)
    if not found:
        raise DataError(
            f"{store_address} holds no finished output of pack, decontaminate or assemble; give another --store, or "
            "run `med42 run` first"
        )
    return found


def data_sets(roots: Sequence[Source], cache: Path) -> Iterator[Dataset]:
    """Go through the data sets that each root was made from, the first stage's first; each once.

    Raises:
        DataError: If a root is not the output of a stage.
    """
    seen = set()
    for root in roots:
        lineage = trace(root, cache=cache)
        for output in lineage.outputs:
            if output.source.has(EXAMPLES_FILE) and output.source.address not in seen:
                seen.add(output.source.address)
                folder = output.source.path(EXAMPLES_FILE).parent
                yield Dataset(lineage.at(root.address), lineage, output, ExampleFinder(folder))


def find_row(roots: Sequence[Source], wanted: str, cache: Path) -> FoundRow:
    """Look a row up by its id, or by the beginning or end of it, in one root after another.

    Raises:
        ConfigError: If there is none, or several fit; with the ids that may be meant.
        DataError: If a root is not the output of a stage, or nothing it was made from is there any more.
    """
    searched = []
    for dataset in data_sets(roots, cache):
        found = dataset.finder.rows(wanted)
        if len(found) > 1:
            raise _problem(f"{len(found):,} ids begin or end with {wanted!r}; give more of it", list(found))
        for id, rows in found.items():
            return FoundRow(id, rows, dataset)
        searched.append(dataset)
    if not searched:
        raise _nothing_left(roots)
    similar = [id for dataset in searched for id in dataset.finder.similar(wanted, NUM_SHOWN_IDS)]
    raise _problem(f"no training row has the id {wanted!r}; the most similar", list(dict.fromkeys(similar)))


def first_data_set(roots: Sequence[Source], cache: Path) -> Dataset:
    """Give the newest run's data set as assemble left it.

    Raises:
        DataError: If a root is not the output of a stage, or nothing it was made from is there any more.
    """
    for dataset in data_sets(roots, cache):
        return dataset
    raise _nothing_left(roots)


def _nothing_left(roots: Sequence[Source]) -> DataError:
    return DataError(f"{roots[0].address}: the data sets it was made from are no longer there")


def _problem(what: str, ids: list[str]) -> ConfigError:
    more = ", …" if len(ids) > NUM_SHOWN_IDS else ""
    return ConfigError("med42 inspect dataset", [Problem("--id", f"{what}: {', '.join(ids[:NUM_SHOWN_IDS])}{more}")])


def _created_at(source: Source) -> str:
    return source.manifest.created_at if source.manifest else ""


@dataclass(frozen=True, slots=True)
class SourceRows:
    """A source's number of rows, and some of them: id and question."""

    source: str
    num_rows: int
    rows: list[tuple[str, str]]


def some_rows(dataset: Dataset, *, at_random: bool) -> list[SourceRows]:
    """Choose rows of each source: the first, or others each time."""
    chosen = []
    for source, rows in sorted(dataset.finder.rows_by_source().items()):
        count = min(NUM_SHOWN_ROWS, len(rows))
        some = random.sample(rows, count) if at_random else rows[:count]
        shown = [(dataset.finder.id_at(row), dataset.finder.example(row).question) for row in some]
        chosen.append(SourceRows(source, len(rows), shown))
    return chosen
