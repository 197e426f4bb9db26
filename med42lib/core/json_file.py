"""JSON files that a stage or a model's publisher wrote: read whole, or an error that says what to do.

Reading a file so is also the guard before a library that tells a broken one by a bare Exception.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from med42lib.core.errors import DataError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")


def read_json(path: Path, advice: str) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Args:
        path: The file.
        advice: What to do if it cannot be used, as the end of a sentence: "fetch the model again".

    Raises:
        DataError: If the file is missing, is not JSON in UTF-8, or holds anything but an object.
    """
    return _object(_parsed(_content(path, advice), path, advice), path, advice)


def read_json_list(path: Path, advice: str) -> list[dict[str, Any]]:
    """Read a file that holds one JSON list of objects; arguments and errors as in `read_json`."""
    values = _parsed(_content(path, advice), path, advice)
    if not isinstance(values, list):
        raise _broken(path, f"it holds a JSON {type(values).__name__}, expected a list", advice)
    return [_object(value, path, advice) for value in values]


def read_json_lines(path: Path, advice: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read the objects of a JSON Lines file, each with its place (`file:line`) for messages.

    Raises:
        DataError: If a line is not a JSON object.
    """
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            where = f"{path}:{number}"
            yield where, _object(_parsed(line, where, advice), where, advice)


def read_json_rows(kind: type[Row], path: Path, advice: str) -> Iterator[tuple[str, Row]]:
    """Read the lines of a JSON Lines file as dataclasses of a kind, each with its place; other fields are passed over.

    Raises:
        DataError: If a line is not a JSON object, or lacks a field.
    """
    names = [field.name for field in fields(kind)]
    for where, values in read_json_lines(path, advice):
        if absent := [name for name in names if name not in values]:
            raise DataError(f"{where} has no {', '.join(absent)}; {advice}")
        yield where, kind(**{name: values[name] for name in names})


def write_json(path: Path, value: object) -> None:
    """Write one value, indented, for programs and people."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_json_lines(path: Path, rows: Iterable[object]) -> None:
    """Write a JSON Lines file, one line for each row."""
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _content(path: Path, advice: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} is missing; {advice}") from None
    except OSError as error:
        raise _broken(path, error, advice) from error


def _parsed(content: bytes, where: object, advice: str) -> Any:
    try:
        return json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise _broken(where, f"not JSON: {error}", advice) from error


def _object(value: Any, where: object, advice: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _broken(where, f"it holds a JSON {type(value).__name__}, expected an object", advice)
    return value


def _broken(where: object, why: object, advice: str) -> DataError:
    return DataError(f"{where} is broken ({why}); {advice}")
