"""The files that a user's own rows lie in: JSON lines, JSON lists, CSV with a header, Parquet, Arrow."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice
from typing import Any

from med42lib.formats.rejects import Reject
from med42lib.readers.files import DataFile, DataFolder
from med42lib.readers.hf_layout import SUFFIXES, Rows, chosen_names, file_rows, table_names
from med42lib.readers.parsers import Record, csv_records

CSV_SUFFIXES = (".csv", ".csv.gz")
OWN_SUFFIXES = (*SUFFIXES, *CSV_SUFFIXES)
_EMPTY_CELLS = frozenset(("NaN", "nan", "#N/A"))
"""What pandas and Excel write where a cell is empty."""


def own_files(folder: DataFolder, path: str, splits: Collection[str]) -> list[DataFile]:
    """Open the file at a path, those of a pattern, or of a folder those of some splits; the others are noted.

    Raises:
        DataError: If there are none.
    """
    read = own_names(folder, path, splits)
    if not folder.has_file(path) and "*" not in path:
        left = [name for name in table_names(folder, path, OWN_SUFFIXES) if name not in read]
        if left:
            folder.notes.append(_not_read(path, left))
    return [folder.file(name) for name in read]


def own_names(folder: DataFolder, path: str, splits: Collection[str]) -> list[str]:
    """List the files that `own_files` opens; errors as there."""
    return chosen_names(folder, path, splits, OWN_SUFFIXES)


def rows_of(files: Sequence[DataFile], ignored: Collection[str] = (), first_rows: int | None = None) -> Rows:
    """Read the rows of all files, or the first of them, without the fields to ignore.

    CSV cells that say they are empty are so too. A record's line is as `hf_layout.table_rows` says, in CSV the first of
    its row.
    """
    rows = islice((row for file in files for row in _with_empty_cells(file)), first_rows)
    return (_without(row, ignored) for row in rows) if ignored else rows


def _without(row: Record[Any] | Reject, ignored: Collection[str]) -> Record[Any] | Reject:
    if isinstance(row, Reject) or not isinstance(row.value, dict):
        return row
    return row.with_value({name: value for name, value in row.value.items() if name not in ignored})


def own_rows(file: DataFile) -> Rows:
    """Read the rows of one file, as they stand there."""
    if _is_csv(file):
        yield from csv_records(file)
    else:
        yield from file_rows(file)


def _is_csv(file: DataFile) -> bool:
    return file.name.lower().endswith(CSV_SUFFIXES)


def _with_empty_cells(file: DataFile) -> Rows:
    for row in own_rows(file):
        if isinstance(row, Reject) or not _is_csv(file):
            yield row
        else:
            yield row.with_value({name: "" if cell in _EMPTY_CELLS else cell for name, cell in row.value.items()})


def _not_read(path: str, names: Sequence[str]) -> str:
    shown = f"{', '.join(names[:3])}{' …' if len(names) > 3 else ''}"
    one, several = (
        "1 file, by its name of another split, is",
        f"{len(names):,} files, by their names of other splits, are",
    )
    what = one if len(names) == 1 else several
    return f"of {path} {what} not read: {shown}; a pattern such as {path}/* reads all"
