"""Rows of data sets in the Hugging Face layout: Parquet, JSON or Arrow files, one folder for all splits.

A folder is read split by split: a file belongs to the split that its name or folder says (`test/0000.parquet`,
`train-00000-of-00002.parquet`), and to `train` if it says none. So a folder that holds the test split too does not
leak it. What `datasets.save_to_disk` wrote is read too; its descriptions beside the rows are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from med42lib.core.errors import DataError
from med42lib.formats.rejects import Reject
from med42lib.readers.files import DataFile, DataFolder, check_expansion
from med42lib.readers.parsers import Record, json_document, json_lines

SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".json", ".json.gz", ".arrow")
_DESCRIPTIONS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "croissant.json")
ROWS_PER_BATCH = 1024
_SPLIT = re.compile(r"(?<![a-z])(train|validation|valid|val|dev|test)(?![a-z])")
_SAME = {"valid": "validation", "val": "validation", "dev": "validation"}

Rows = Iterator[Record[Any] | Reject]


@dataclass(frozen=True, slots=True)
class ParquetBatch:
    """Some rows of a Parquet file, still in columns; `numbers` are their 1-based places in the file."""

    file: str
    numbers: Any
    rows: Any

    def filter(self, mask: Any) -> ParquetBatch:
        """Take the rows where an Arrow column of booleans is true.

        Raises:
            DataError: If Arrow cannot take part of a column.
        """
        with _arrow_errors(self.file):
            return ParquetBatch(self.file, self.numbers.filter(mask), self.rows.filter(mask))

    def check_texts(self, columns: Sequence[str]) -> None:
        """Make sure that columns of text are valid; who makes Python objects of them need not.

        Raises:
            DataError: If one is not.
        """
        with _arrow_errors(self.file):
            for column in columns:
                self.rows[column].validate(full=True)

    def records(self) -> Iterator[Record[dict[str, Any]]]:
        """Give the rows as dictionaries.

        Raises:
            DataError: If Python has nothing for a value.
        """
        with _arrow_errors(self.file):
            for number, row in zip(self.numbers.to_pylist(), _dictionaries(self.rows), strict=True):
                yield Record(self.file, number, row)


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
        yield from file_rows(file)


def table_files(
    folder: DataFolder, path: str, splits: Collection[str] = ("train",), *, suffixes: Sequence[str] = SUFFIXES
) -> list[DataFile]:
    """Open the files that `table_rows` reads, sorted by name; of a folder, those that end in one of `suffixes`."""
    return [folder.file(name) for name in chosen_names(folder, path, splits, suffixes)]


def chosen_names(folder: DataFolder, path: str, splits: Collection[str], suffixes: Sequence[str]) -> list[str]:
    """List the files that `table_files` opens.

    Raises:
        DataError: If there are none.
    """
    if folder.has_file(path):
        return [PurePosixPath(path).as_posix()]
    if "*" in path:
        return folder.matching(path)
    folder.check_holds(path)
    files = table_names(folder, path, suffixes)
    wanted = [name for name in files if split_of(name, path) in splits]
    if not wanted:
        raise DataError(
            f"{folder.address}/{path} holds no {' or '.join(splits)} split: no {', '.join(suffixes)} of that name "
            f"among {len(files)} such files; name a file, or a pattern such as {path}/*.parquet"
        )
    return wanted


def table_names(folder: DataFolder, path: str, suffixes: Sequence[str] = SUFFIXES) -> list[str]:
    """List the files of a folder that hold rows, by their names."""
    names = [name for name in folder.names(path) if name.lower().endswith(tuple(suffixes))]
    return [name for name in names if PurePosixPath(name).name not in _DESCRIPTIONS]


def split_of(name: str, folder: str = "") -> str:
    """Say to which split a file belongs by its path below a folder."""
    return named_split(name.removeprefix(folder)) or "train"


def named_split(name: str) -> str | None:
    """Say which split a file's path names; None if it names none."""
    found = _SPLIT.findall(name.lower())
    return _SAME.get(found[-1], found[-1]) if found else None


def file_rows(file: DataFile) -> Rows:
    """Read the rows of one file, as `table_rows` does."""
    suffix = PurePosixPath(file.name.lower().removesuffix(".gz")).suffix
    if suffix == ".parquet":
        return (record for batch in parquet_batches(file) for record in batch.records())
    if suffix == ".arrow":
        return _arrow_rows(file)
    if suffix in (".jsonl", ".json"):
        return json_lines(file) if suffix == ".jsonl" else _json_rows(file)
    raise DataError(f"{file.name}: expected a file ending in {', '.join(SUFFIXES)}")


def parquet_batches(file: DataFile) -> Iterator[ParquetBatch]:
    """Read a Parquet file, at most `ROWS_PER_BATCH` rows at a time.

    Raises:
        DataError: If the file is not a whole Parquet file, or grows far beyond its size.
    """
    import numpy as np
    import pyarrow as pa

    from med42lib.formats.parquet import open_parquet

    first, num_packed, num_unpacked = 1, file.path.stat().st_size, 0
    with _arrow_errors(file.name), open_parquet(file.path) as table:
        check_expansion(file.name, num_packed, _bytes_unpacked(table.metadata))
        for rows in table.iter_batches(ROWS_PER_BATCH, use_threads=False):
            num_unpacked += rows.nbytes
            check_expansion(file.name, num_packed, num_unpacked)
            yield ParquetBatch(file.name, pa.array(np.arange(first, first + len(rows))), rows)
            first += len(rows)


@contextmanager
def _arrow_errors(file: str) -> Iterator[None]:
    """Say which file it is that Arrow cannot read."""
    import pyarrow as pa

    try:
        yield
    except (KeyError, OverflowError) as error:
        raise DataError(f"{file} has a column that cannot be read ({error}); write it without that one") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        kind = "Arrow" if file.lower().endswith(".arrow") else "Parquet"
        raise DataError(f"{file} is not a whole {kind} file ({error}); copy it again") from error


def _arrow_rows(file: DataFile) -> Rows:
    """Read a stream of Arrow batches, as `datasets` writes it.

    The file is not mapped into memory: one that changes meanwhile would end the process.
    """
    import numpy as np
    import pyarrow as pa

    first, num_packed, num_unpacked = 1, file.path.stat().st_size, 0
    with _arrow_errors(file.name), pa.OSFile(str(file.path)) as stream, pa.ipc.open_stream(stream) as batches:
        for batch in batches:
            num_unpacked += batch.nbytes
            check_expansion(file.name, num_packed, num_unpacked)
            for start in range(0, len(batch), ROWS_PER_BATCH):
                rows = batch.slice(start, ROWS_PER_BATCH)
                rows.validate(full=True)
                yield from ParquetBatch(file.name, pa.array(np.arange(first, first + len(rows))), rows).records()
                first += len(rows)


def _bytes_unpacked(metadata: Any) -> int:
    """Give the size of a Parquet file's pages; rows can still be larger, since a value that repeats is stored once."""
    return sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))


def _dictionaries(batch: Any) -> Iterator[dict[str, Any]]:
    """Give a batch's rows. Columns of text become Python's strings at once, which is ten times as fast as by row."""
    import pyarrow as pa

    from med42lib.readers.text_columns import python_objects

    texts = {
        name for name, field in zip(batch.schema.names, batch.schema, strict=True) if pa.types.is_string(field.type)
    }
    columns = [python_objects(batch[name]) if name in texts else batch[name].to_pylist() for name in batch.schema.names]
    return (dict(zip(batch.schema.names, values, strict=True)) for values in zip(*columns, strict=True))


def _json_rows(file: DataFile) -> Rows:
    """Read a JSON list of rows, or JSON lines in a file named `.json`, which many publishers write."""
    if not file.starts_with(b"["):
        yield from json_lines(file)
        return
    rows = json_document(file)
    for number, row in enumerate(rows, start=1):
        yield Record(file.name, number, row)
