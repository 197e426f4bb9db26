"""Files of a data folder, written as their names say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def write_data(path: Path, content: Any) -> Path:
    """Write a file and the folders it is in: text and bytes as they are, anything else as JSON.

    A list of rows becomes Parquet or JSON lines where the name ends so.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".parquet" and isinstance(content, list):
        pq.write_table(pa.Table.from_pylist(content), path)
        return path
    if path.suffix.lower() == ".jsonl" and isinstance(content, list):
        content = "".join(json.dumps(row) + "\n" for row in content)
    if not isinstance(content, str | bytes):
        content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
