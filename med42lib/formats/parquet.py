"""Opening Parquet files to be read a group of rows at a time."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

_BUFFER_BYTES = 1 << 20


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a file of whatever size.

    Left to itself, Arrow reads a row group's columns whole, however large, and keeps all that it has read of a file
    until the last row: three gigabytes of OpenOrca's.
    """
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES)
