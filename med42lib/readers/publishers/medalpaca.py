"""The Medical Meadow of medAlpaca (Han et al. 2023): data sets of one layout, as JSON, JSON lines or Parquet.

    {"instruction": "Answer this question truthfully", "input": "What is X?", "output": "It is Y."}

What the three fields hold differs from set to set: the instruction is the same in all rows of one, and the question
itself in another. No row has an id.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from med42lib.formats.rejects import Reject
from med42lib.readers.fields import mapping, optional_text, text_field
from med42lib.readers.files import DataFolder
from med42lib.readers.hf_layout import table_rows
from med42lib.readers.parsers import Record, each


@dataclass(frozen=True, slots=True)
class MedAlpacaRow:
    """One row; `instruction` may be empty, the others hold text."""

    instruction: str
    input: str
    output: str


def read_medalpaca(folder: DataFolder, path: str) -> Iterator[Record[MedAlpacaRow] | Reject]:
    """Read every row of the training split at `path`: a file, a pattern or a folder.

    Raises:
        DataError: If there are no such files, or one cannot be read.
    """
    return each(table_rows(folder, path), _row)


def _row(value: Any) -> MedAlpacaRow:
    row = mapping(value)
    return MedAlpacaRow(optional_text(row, "instruction"), text_field(row, "input"), text_field(row, "output"))
