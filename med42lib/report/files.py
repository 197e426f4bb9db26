"""Reading the small JSON files that earlier stages wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from med42lib.core.edges import Source
from med42lib.core.errors import DataError


def read_json(source: Source, name: str) -> Any:
    """Read one JSON file of an output.

    Raises:
        DataError: If the output has no such file, or it is not JSON.
    """
    path = source.path(name)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); run the stage that wrote it again") from error


def read_json_if_there(source: Source, name: str) -> Any:
    """Read one JSON file of an output, or give an empty object if the output has no such file."""
    return read_json(source, name) if source.has(name) else {}


def read_json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read the objects of a JSON lines file, each with its place (`file:line`) for messages.

    Raises:
        DataError: If a line is not a JSON object.
    """
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            where = f"{path}:{number}"
            yield where, _object(line, where)


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: not JSON ({error}); run the stage that wrote it again") from error
    if not isinstance(values, dict):
        raise DataError(f"{where}: {type(values).__name__}, expected a JSON object")
    return values
