"""A small data folder in the publishers' formats, and the ways to read it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from med42lib.assemble.source import Draft, Form, load_source
from med42lib.core.edges import Source
from med42lib.core.files import DataFolder
from med42lib.core.rejects import Reject

Write = Callable[[str, Any], Path]
Drafts = Callable[..., list[Any]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data folder, empty at first."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def write(data: Path) -> Write:
    """Write a file of the data folder: text and bytes as they are, anything else as JSON.

    A list of rows becomes Parquet or JSON lines where the name ends so.
    """

    def write_file(name: str, content: Any) -> Path:
        path = data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".parquet") and isinstance(content, list):
            pq.write_table(pa.Table.from_pylist(content), path)
            return path
        if name.endswith(".jsonl") and isinstance(content, list):
            content = "".join(json.dumps(row) + "\n" for row in content)
        if not isinstance(content, str | bytes):
            content = json.dumps(content)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


@pytest.fixture
def drafts(data: Path) -> Drafts:
    """Read a source from the data folder: each record's draft, or the kind and reason of its reject.

    `layout` is `publisher` or `huggingface`; other options are fields of `Form`.
    """

    def read(name: str, *, path: str = "", layout: Any = "publisher", **form: Any) -> list[Any]:
        return _drafts(name, data, path, layout, form)

    return read


@pytest.fixture
def real_drafts() -> Drafts:
    """Read a source from another folder, in the publisher's layout, as `drafts` does."""

    def read(name: str, folder: Path, *, path: str, **form: Any) -> list[Any]:
        return _drafts(name, folder, path, "publisher", form)

    return read


def _drafts(name: str, data: Path, path: str, layout: Any, form: dict[str, Any]) -> list[Any]:
    chosen = load_source(name).layout(layout)
    folder = DataFolder(Source(str(data)))
    records = list(chosen.read(folder, path or chosen.path, Form(**{"multiple_choice": "letters", **form})))
    assert all(isinstance(r, Reject) or isinstance(r.value, Draft) for r in records)
    return [(r.kind, r.reason) if isinstance(r, Reject) else r.value for r in records]


@pytest.fixture
def headqa_row() -> Callable[..., dict[str, Any]]:
    """Make one question of HeadQA; option 2 of 3 is right."""

    def row(number: int, **changes: Any) -> dict[str, Any]:
        answers = [{"aid": aid, "atext": f"option {number}.{aid}"} for aid in (1, 2, 3)]
        question = {"qid": str(number), "qtext": f"Question {number}?", "ra": "2", "answers": answers, "image": ""}
        return {**question, **changes}

    return row


@pytest.fixture
def headqa(headqa_row: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Make a HeadQA document of so many good questions, and of others given whole."""

    def document(num: int, *others: Any) -> dict[str, Any]:
        rows = [*(headqa_row(number) for number in range(1, num + 1)), *others]
        return {"exams": {"exam": {"name": "exam", "data": rows}}}

    return document
