"""Single examples of a data set by id: the ids are read, and of the rest only the rows that are asked for."""

from __future__ import annotations

import heapq
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from med42lib.core.errors import DataError
from med42lib.formats.dataset import EXAMPLES_FILE, example_of
from med42lib.formats.records import Example


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
