from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from med42lib.assemble.mixing.merge import mixed
from med42lib.assemble.mixing.select import select
from med42lib.assemble.mixing.spill import RunWriter, read_keys
from med42lib.formats.dataset import SCHEMA, read_examples, write_tables
from tests.assemble.small_sources import batch_of, example, settings

NAMES = ("headqa", "medquad", "pubmedqa")
Made = tuple[list[Path], NDArray[np.void]]


def made(root: Path, *, size: int, repeat: int = 1) -> Made:
    """Write three sources of 100 rows in runs of a size, and choose 70 of each."""
    folders = [root / name for name in NAMES]
    for folder in folders:
        folder.mkdir(parents=True)
        writer = RunWriter(folder, 7, characters_per_run=size)
        for number in range(100):
            writer.add(batch_of(example(f"{folder.name} {number}")))
        writer.close()
    config = settings({name: {"target": 70, "repeat": repeat} for name in NAMES})
    return folders, select(config, NAMES, [read_keys(folder) for folder in folders])[0]


def ids(tables: Iterator[pa.Table]) -> list[str]:
    return [id for table in tables for id in table.column("id").to_pylist()]


def test_rows_come_in_the_order_of_the_choice(tmp_path: Path) -> None:
    folders, chosen = made(tmp_path, size=500)
    by_place = {}
    for number, folder in enumerate(folders):
        for run, path in enumerate(sorted(folder.glob("run-*"))):
            with pa.memory_map(str(path)) as stream:
                for row, id in enumerate(pa.ipc.open_file(stream).read_all().column("id").to_pylist()):
                    by_place[number, run, row] = id
    wanted = [by_place[int(row["source"]), int(row["run"]), int(row["row"])] for row in chosen]
    assert ids(mixed(folders, chosen)) == wanted
    assert len(set(wanted)) == 210


@pytest.mark.parametrize("rows_per_block", [1, 7, 209, 210, 211])
@pytest.mark.parametrize("size", [1, 500, 10**9])
def test_neither_the_size_of_blocks_nor_of_runs_changes_the_rows(
    tmp_path: Path, size: int, rows_per_block: int
) -> None:
    one = ids(mixed(*made(tmp_path / "one", size=10**9)))
    assert ids(mixed(*made(tmp_path / "other", size=size), rows_per_block=rows_per_block)) == one


@pytest.mark.parametrize("size", [1, 500, 10**9])
def test_the_size_of_runs_does_not_change_a_byte_of_the_table(tmp_path: Path, size: int) -> None:
    for name, of_run in (("one", 10**9), ("other", size)):
        write_tables(tmp_path / name, mixed(*made(tmp_path / name, size=of_run, repeat=3)))
    one, other = (tmp_path / name / "examples.parquet" for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()
    assert len(list(read_examples(tmp_path / "one"))) == 630


def test_blocks_have_as_many_rows_as_asked_and_the_datasets_columns(tmp_path: Path) -> None:
    tables = list(mixed(*made(tmp_path, size=500), rows_per_block=100))
    assert [table.num_rows for table in tables] == [100, 100, 10]
    assert {table.schema for table in tables} == {SCHEMA}


def test_a_block_is_read_when_it_is_asked_for_and_not_before(tmp_path: Path) -> None:
    folders, chosen = made(tmp_path, size=500)
    tables = mixed(folders, chosen, rows_per_block=10)
    assert next(tables).num_rows == 10
    for folder in folders:
        for run in folder.glob("run-*"):
            run.unlink()
    with pytest.raises(FileNotFoundError):
        next(tables)


def test_only_runs_of_which_a_row_was_chosen_are_opened(tmp_path: Path) -> None:
    folders, chosen = made(tmp_path, size=500)
    chosen = chosen[(chosen["source"] == 1) & (chosen["run"] == 2)]
    for folder in folders:
        for number, run in enumerate(sorted(folder.glob("run-*"))):
            if (folder.name, number) != ("medquad", 2):
                run.unlink()
    assert len(ids(mixed(folders, chosen))) == len(chosen) > 0


def test_nothing_chosen_is_no_block(tmp_path: Path) -> None:
    folders, chosen = made(tmp_path, size=500)
    assert list(mixed(folders, chosen[:0])) == []
