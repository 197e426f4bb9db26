"""Reading rows of a user's own, without the stage around it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from med42lib.assemble.config import SourceConfig
from med42lib.assemble.own.source import source_of
from med42lib.assemble.source import ReadOptions
from med42lib.formats.rejects import Reject
from med42lib.readers.files import DataFolder
from med42lib.readers.own.fields import Format
from med42lib.store.artifacts import Source
from tests.assemble.own_rows import WARD
from tests.data_files import write_data

Read = Callable[..., list[Any]]


@pytest.fixture
def read(data: Path) -> Read:
    """Read rows of a user's own: each one's conversation, or the reason of its reject."""

    def read_rows(
        shape: Format, content: Any, *, path: str = "ward.jsonl", how: str = "letters", **settings: Any
    ) -> Any:
        if content is not None:
            write_data(data / path, content)
        config = SourceConfig.model_validate(WARD | {"format": shape, "path": path} | settings)
        layout = source_of("ward", config).layout(config.layout)
        found = layout.read(DataFolder(Source(str(data))), path, ReadOptions(how))  # type: ignore[arg-type]
        return [record.reason if isinstance(record, Reject) else record.value for record in found]  # type: ignore[union-attr]

    return read_rows
