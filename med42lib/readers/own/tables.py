"""The files that a user's own rows lie in: JSON lines, JSON lists, CSV with a header, Parquet, Arrow."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from med42lib.readers.files import DataFile, DataFolder
from med42lib.readers.hf_layout import SUFFIXES, Rows, file_rows, table_files, table_names
from med42lib.readers.parsers import csv_records

CSV_SUFFIXES = (".csv", ".csv.gz")
OWN_SUFFIXES = (*SUFFIXES, *CSV_SUFFIXES)


def own_files(folder: DataFolder, path: str, splits: Collection[str]) -> list[DataFile]:
    """Open the file at a path, those of a pattern, or of a folder those of some splits; the others are noted.

    Raises:
        DataError: If there are none.
    """
    files = table_files(folder, path, splits, suffixes=OWN_SUFFIXES)
    if not folder.has_file(path) and "*" not in path:
        read = {file.name for file in files}
        left = [name for name in table_names(folder, path, OWN_SUFFIXES) if name not in read]
        if left:
            folder.notes.append(_not_read(path, left))
    return files


def rows_of(files: Sequence[DataFile]) -> Rows:
    """Read the rows of all files; a record's line is as `hf_layout.table_rows` says, in CSV the first of its row."""
    for file in files:
        yield from own_rows(file)


def own_rows(file: DataFile) -> Rows:
    """Read the rows of one file."""
    if file.name.endswith(CSV_SUFFIXES):
        yield from csv_records(file)
    else:
        yield from file_rows(file)


def _not_read(path: str, names: Sequence[str]) -> str:
    shown = f"{', '.join(names[:3])}{' …' if len(names) > 3 else ''}"
    one, several = (
        "1 file, by its name of another split, is",
        f"{len(names):,} files, by their names of other splits, are",
    )
    what = one if len(names) == 1 else several
    return f"of {path} {what} not read: {shown}; a pattern such as {path}/* reads all"
