"""Splits that benchmarks score, which are never trained on, whatever path the settings name."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePosixPath

from med42lib.core.errors import DataError
from med42lib.readers.hf_layout import Rows, split_of


def refuse_scored_split(name: str, held_out: Collection[str]) -> None:
    """Make sure that a file, by its name or its folder's, is of no held-out split.

    Raises:
        DataError: If it is.
    """
    split = split_of("/".join(PurePosixPath(name).parts[-2:]))
    if split in held_out:
        raise DataError(f"{name} is the {split} split, which benchmarks score: it is never trained on; name another")


def guard_split(rows: Rows, held_out: Collection[str]) -> Rows:
    """Pass rows on, refusing those of a file of a held-out split.

    Raises:
        DataError: Before the first row of such a file.
    """
    file = ""
    for row in rows:
        if row.file != file:
            file = row.file
            refuse_scored_split(file, held_out)
        yield row
