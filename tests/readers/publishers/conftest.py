"""Small files in the publishers' formats."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from med42lib.formats.rejects import Reject
from med42lib.readers.files import DataFile
from med42lib.readers.parsers import Record


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str, Any], DataFile]:
    """Write a file: text as it is, a list of dictionaries in `.jsonl` as lines, anything else as JSON."""

    def write(name: str, content: Any) -> DataFile:
        if name.endswith(".jsonl") and isinstance(content, list):
            content = "".join(json.dumps(row) + "\n" for row in content)
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return DataFile(name, path)

    return write


@pytest.fixture
def rows() -> Callable[..., Any]:
    """Give rows as `table_rows` does."""
    return lambda *values: iter([Record("train.parquet", n, value) for n, value in enumerate(values, start=1)])


@pytest.fixture
def outcome() -> Callable[[Any], list[Any]]:
    """Say what became of each record: the question, or the kind and reason of its reject."""
    return lambda stream: [(r.kind, r.reason) if isinstance(r, Reject) else r.value for r in stream]
