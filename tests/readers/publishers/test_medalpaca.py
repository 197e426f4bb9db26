from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from med42lib.core.errors import DataError
from med42lib.readers.files import DataFolder
from med42lib.readers.parsers import Record
from med42lib.readers.publishers.medalpaca import MedAlpacaRow, read_medalpaca
from med42lib.store.artifacts import Source


@pytest.fixture
def rows(tmp_path: Path) -> Callable[[str, str | bytes], list[Any]]:
    def read(name: str, content: str | bytes) -> list[Any]:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        records = read_medalpaca(DataFolder(Source(str(tmp_path))), name)
        return [r.value if isinstance(r, Record) else r.reason for r in records]

    return read


def test_a_list_json_lines_and_parquet_give_the_same_rows(rows: Any, tmp_path: Path) -> None:
    row = '{"instruction": null, "input": "What is X?", "output": "It is Y."}'
    expected = [MedAlpacaRow("", "What is X?", "It is Y.")]
    assert rows("list.json", f"[\n{row}\n]") == expected
    assert rows("lines.json", f"{row}\n") == expected
    assert rows("lines.jsonl", f"{row}\n") == expected
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist([{"instruction": "", "input": "What is X?", "output": "It is Y."}]), buffer)
    assert rows("table.parquet", buffer.getvalue().to_pybytes()) == expected


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('{"instruction": "A", "output": "Y"}', "input is missing"),
        ('{"instruction": "A", "input": null, "output": "Y"}', "input is missing"),
        ('{"instruction": "A", "input": "X", "output": "  "}', "output is blank"),
        ('{"instruction": "A", "input": "X", "output": ["Y", "Z"]}', "output is not text"),
        ('{"instruction": 1, "input": "X", "output": "Y"}', "instruction is not text"),
        ('["X", "Y"]', "the record is not a JSON object"),
    ],
)
def test_a_broken_row_is_a_reject_and_the_rest_goes_on(rows: Any, row: str, reason: str) -> None:
    good = '{"input": "X", "output": "Y"}'
    assert rows("rows.json", f"[{row}, {good}]") == [reason, MedAlpacaRow("", "X", "Y")]


def test_a_list_that_was_cut_fails(rows: Any) -> None:
    with pytest.raises(DataError, match="may have been cut"):
        rows("rows.json", '[{"input": "X", "output": "Y"}, {"inp')
