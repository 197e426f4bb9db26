"""Rows of data sets in the Hugging Face layout: Parquet or JSON files, one folder for all splits.

A folder is read split by split: a file belongs to the split that its name or folder says (`test/0000.parquet`,
`train-00000-of-00002.parquet`), and to `train` if it says none. So a folder that holds the test split too does not
leak it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import PurePosixPath
from typing import Any

from med42lib.core.errors import DataError
from med42lib.core.reading import DataFile, DataFolder, Record, json_document, json_lines
from med42lib.core.rejects import Reject

SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".json", ".json.gz")
ROWS_PER_BATCH = 1024
_SPLIT = re.compile(r"(?<![a-z])(train|validation|valid|val|dev|test)(?![a-z])")
_SAME = {"valid": "validation", "val": "validation", "dev": "validation"}

Rows = Iterator[Record[Any] | Reject]


def table_rows(folder: DataFolder, path: str, *, splits: Collection[str] = ("train",)) -> Rows:
    """Read the rows of a file, of a pattern's files, or of the wanted splits in a folder.

    A record's line is its 1-based number in its file; in JSON lines, its line.

    Args:
        folder: The data folder.
        path: A file or a pattern (`x/**/*.parquet`), read whatever its split; or a folder.
        splits: What of a folder to read: `train`, `validation` (also called dev), `test`.

    Raises:
        DataError: If there is nothing to read, or a file is not what its ending says.
    """
    for file in table_files(folder, path, splits):
        yield from _rows(file)


def table_files(folder: DataFolder, path: str, splits: Collection[str]) -> list[DataFile]:
    """Open the files that `table_rows` reads, sorted by name."""
    if folder.has_file(path):
        return [folder.file(path)]
    if "*" in path:
        return folder.matching(path)
    files = [name for name in folder.names(path) if name.endswith(SUFFIXES)]
    wanted = [name for name in files if split_of(name, path) in splits]
    if not wanted:
        raise DataError(
            f"{folder.address}/{path} holds no {' or '.join(splits)} split: no {', '.join(SUFFIXES)} of that name "
            f"among {len(files)} such files; name a file, or a pattern such as {path}/*.parquet"
        )
    return [folder.file(name) for name in wanted]


def split_of(name: str, folder: str = "") -> str:
    """Say to which split a file belongs by its path below a folder."""
    found = _SPLIT.findall(name.removeprefix(folder).lower())
    split = found[-1] if found else "train"
    return _SAME.get(split, split)


def _rows(file: DataFile) -> Rows:
    suffix = PurePosixPath(file.name.removesuffix(".gz")).suffix
    if suffix == ".parquet":
        return _parquet_rows(file)
    if suffix == ".jsonl":
        return json_lines(file)
    if suffix == ".json":
        return _json_rows(file)
    raise DataError(f"{file.name}: expected a file ending in {', '.join(SUFFIXES)}")


def _parquet_rows(file: DataFile) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(file.path) as table:
            for batch in table.iter_batches(ROWS_PER_BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield Record(file.name, number, row)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{file.name} is not a whole Parquet file ({error}); copy it again") from error


def _json_rows(file: DataFile) -> Rows:
    """Read a JSON list of rows, or JSON lines in a file named `.json`, which many publishers write."""
    if not file.starts_with(b"["):
        yield from json_lines(file)
        return
    rows = json_document(file)
    for number, row in enumerate(rows, start=1):
        yield Record(file.name, number, row)
