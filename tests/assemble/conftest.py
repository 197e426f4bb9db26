"""A small data folder in the publishers' formats, and the ways to read it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from med42lib.assemble.source import Conversation, ReadOptions, load_source
from med42lib.formats.rejects import Reject
from med42lib.readers.files import DataFolder
from med42lib.store.artifacts import Source
from tests.assemble.small_sources import one_by_one
from tests.data_files import write_data

Write = Callable[[str, Any], Path]
Conversations = Callable[..., list[Any]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data folder, empty at first."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def write(data: Path) -> Write:
    """Write a file of the data folder: see `write_data`."""
    return lambda name, content: write_data(data / name, content)


@pytest.fixture
def conversations(data: Path) -> Conversations:
    """Read a source from the data folder: each record's conversation, or the kind and reason of its reject.

    `layout` is `publisher` or `huggingface`; other options are fields of `ReadOptions`.
    """

    def read(name: str, *, path: str = "", layout: Any = "publisher", **read_options: Any) -> list[Any]:
        return _conversations(name, data, path, layout, read_options)

    return read


@pytest.fixture
def real_conversations() -> Conversations:
    """Read a source from another folder, in the publisher's layout, as `conversations` does."""

    def read(name: str, folder: Path, *, path: str, **read_options: Any) -> list[Any]:
        return _conversations(name, folder, path, "publisher", read_options)

    return read


def _conversations(name: str, data: Path, path: str, layout: Any, read_options: dict[str, Any]) -> list[Any]:
    chosen = load_source(name).layout(layout)
    folder = DataFolder(Source(str(data)))
    found = chosen.read(folder, path or chosen.path, ReadOptions(**{"multiple_choice": "letters", **read_options}))
    records = list(one_by_one(found))
    assert all(isinstance(r, Reject) or isinstance(r.value, Conversation) for r in records)
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
