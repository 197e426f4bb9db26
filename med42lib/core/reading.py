"""Reading publishers' files: JSON, JSON lines, CSV and XML, every problem with its file and line.

A broken record becomes a `Reject` and the rest goes on. Where the fault leaves the rest unreadable (a JSON document
cut in the middle, a file that is not text), the whole file is refused with a `DataError`.

Each format is read as a stream of `Record | Reject`, and `each` turns such a stream into another:

    rows = csv_rows(file)                # Record[dict] | Reject
    questions = each(rows, _question)    # Record[Question] | Reject
"""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Generic, TypeVar

from med42lib.core.edges import Source
from med42lib.core.errors import DataError
from med42lib.core.rejects import BadRecord, Reject

_SIGNATURES = {
    b"\xff\xfe": "it is UTF-16; convert it with `iconv -f UTF-16 -t UTF-8`",
    b"\xfe\xff": "it is UTF-16; convert it with `iconv -f UTF-16 -t UTF-8`",
    b"\x1f\x8b": "it is compressed; unpack it with `gunzip`",
    b"PK\x03\x04": "it is a zip archive; unpack it",
}

_BINARY_TEST_BYTES = 1024

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class Record(Generic[A]):
    """One record and where it stands: `line` is 1-based, or the record's number in formats without lines."""

    file: str
    line: int
    value: A


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of a data folder: its name in the folder, with forward slashes, and where it lies."""

    name: str
    path: Path

    def read(self) -> bytes:
        """Read the whole file.

        Raises:
            DataError: If it cannot be read.
        """
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise DataError(f"{self.name} cannot be read: {error.strerror} ({self.path})") from error

    def lines(self) -> Iterator[bytes]:
        """Read the file line by line, holding one in memory.

        Raises:
            DataError: If it cannot be read.
        """
        try:
            with self.path.open("rb") as stream:
                yield from stream
        except OSError as error:
            raise DataError(f"{self.name} cannot be read: {error.strerror} ({self.path})") from error

    def starts_with(self, beginning: bytes) -> bool:
        """Say whether the first bytes after white space and a byte order mark are these."""
        first = next((line for line in self.lines() if line.strip(b" \t\r\n\xef\xbb\xbf")), b"")
        return first.lstrip(b" \t\r\n\xef\xbb\xbf").startswith(beginning)

    def text(self) -> str:
        """Read the whole file as UTF-8, without a byte order mark.

        Raises:
            DataError: If it cannot be read or is not UTF-8.
        """
        content = self.read()
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self.name} is not UTF-8 text (byte {error.start:,} of {len(content):,}): {_advice(content)}"
            ) from None


class DataFolder:
    """A data folder of the user's that remembers which of its files were opened."""

    def __init__(self, data: Source) -> None:
        self._data = data
        self.opened: list[str] = []

    def has(self, name: str) -> bool:
        """Say whether there is a file of this name."""
        return self._data.has(_normal(name))

    @property
    def address(self) -> str:
        """Where the folder is."""
        return self._data.address

    def has_file(self, name: str) -> bool:
        """Say whether there is a file, not a sub-folder, of this name."""
        return any(entry.path == _normal(name) for entry in self._data.files)

    def names(self, folder: str) -> list[str]:
        """List the files below a folder, sorted; nothing is opened."""
        prefix = f"{_normal(folder)}/" if _normal(folder) else ""
        return sorted(entry.path for entry in self._data.files if entry.path.startswith(prefix))

    def matching(self, pattern: str) -> list[DataFile]:
        """Open all files that match a pattern such as `x/**/*.parquet`, sorted by name.

        Raises:
            DataError: If there are none.
        """
        expression = re.compile(_as_expression(pattern))
        wanted = [name for name in self.names("") if expression.fullmatch(name)]
        if not wanted:
            raise DataError(f"{self._data.address} has no files {pattern}; check the path")
        return [self.file(name) for name in wanted]

    def file(self, name: str) -> DataFile:
        """Open one file.

        Raises:
            DataError: If there is none of that name.
        """
        name = _normal(name)
        path = self._data.path(name)
        if not path.is_file():
            raise DataError(f"{self._data.address}/{name} is a folder where a file is wanted; name a file in it")
        self.opened.append(name)
        return DataFile(name, path)

    def files(self, folder: str, pattern: str) -> list[DataFile]:
        """Open all files below a folder whose names match a pattern such as `*.xml`, sorted by name.

        Raises:
            DataError: If there are none.
        """
        folder = _normal(folder)
        root = self._data.path(folder)
        prefix = f"{folder}/" if folder else ""
        names = [entry.path for entry in self._data.files if entry.path.startswith(prefix)]
        wanted = sorted(name for name in names if PurePosixPath(name).match(pattern))
        if not wanted:
            raise DataError(
                f"{self._data.address}/{folder} has no files {pattern}; check the path (it must be a folder)"
            )
        self.opened += wanted
        return [DataFile(name, root / name.removeprefix(prefix)) for name in wanted]


def each(records: Iterable[Record[A] | Reject], build: Callable[[A], B]) -> Iterator[Record[B] | Reject]:
    """Turn every record into another; one that `build` refuses with `BadRecord` becomes a `Reject`."""
    for record in records:
        if isinstance(record, Reject):
            yield record
            continue
        try:
            value = build(record.value)
        except BadRecord as error:
            yield error.at(record.file, record.line, record.value)
        else:
            yield Record(record.file, record.line, value)


def json_document(file: DataFile) -> Any:
    """Read a file that is one JSON document.

    Raises:
        DataError: With line and column, if it is not; also if an object has the same key twice, since one of the
            two values would be lost.
    """
    text = file.text()
    try:
        return json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{file.name} is not a whole JSON document: {error}; it has {len(text):,} characters and may have been "
            "cut: copy it again"
        ) from None


def json_lines(file: DataFile) -> Iterator[Record[Any] | Reject]:
    """Read a file of one JSON value per line; blank lines are passed over.

    Raises:
        DataError: If the file is not text at all.
    """
    for number, line in enumerate(file.lines(), start=1):
        if number == 1 and (line.startswith(tuple(_SIGNATURES)) or b"\0" in line[:_BINARY_TEST_BYTES]):
            raise DataError(f"{file.name} is not a file of JSON lines: {_advice(line)}")
        if not line.strip():
            continue
        try:
            yield Record(file.name, number, json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8")))
        except UnicodeDecodeError as error:
            yield BadRecord("the line is not UTF-8 text", f"byte {error.start}").at(file.name, number, line)
        except (ValueError, RecursionError) as error:
            yield BadRecord("the line is not valid JSON", str(error)).at(file.name, number, line)


def csv_rows(file: DataFile) -> Iterator[Record[list[str]] | Reject]:
    """Read the rows of a CSV file; a record's line is the first of its row.

    Raises:
        DataError: If the file is not UTF-8, or a quote is never closed (it would swallow all rows that follow).
    """
    reader = csv.reader(io.StringIO(file.text(), newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise DataError(
                    f"{file.name}:{line}: a quote in this row is never closed, so that the rest of the file cannot be "
                    "told apart; it has a stray quote or was cut"
                ) from None
            yield BadRecord("the row is not valid CSV", str(error)).at(file.name, line, "")
        else:
            if row:
                yield Record(file.name, line, row)


def csv_records(file: DataFile, columns: Sequence[str]) -> Iterator[Record[dict[str, str]] | Reject]:
    """Read a CSV file with a header as one dictionary per row.

    Raises:
        DataError: As `csv_rows`, or if one of the `columns` is missing from the header.
    """
    rows = csv_rows(file)
    header = next(rows, None)
    names = header.value if isinstance(header, Record) else []
    missing = [column for column in columns if column not in names]
    if missing:
        raise DataError(f"{file.name} has no column {', '.join(missing)}; its first row is {names}")
    return each(rows, lambda row: _named(names, row))


def xml_root(file: DataFile) -> ET.Element:
    """Read an XML file.

    Raises:
        BadRecord: With line and column, if it is not well-formed; also if it declares a document type, which the
            publishers' files do not and through which a few bytes can grow to gigabytes.
    """
    try:
        return ET.fromstring(file.read(), ET.XMLParser(target=_NoDoctype()))
    except (ET.ParseError, LookupError, ValueError) as error:
        raise BadRecord("the file is not well-formed XML", str(error)) from None


class _NoDoctype(ET.TreeBuilder):
    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise BadRecord("the XML file declares a document type", name)


def _advice(content: bytes) -> str:
    for signature, advice in _SIGNATURES.items():
        if content.startswith(signature):
            return advice
    return "it is binary or was damaged; copy it again"


def _as_expression(pattern: str) -> str:
    """Write a pattern as a regular expression: `**/` is any folders or none, `*` anything within one name."""
    parts = re.split(r"(\*\*/|\*)", pattern)
    return "".join({"**/": "(?:.*/)?", "*": "[^/]*"}.get(part, re.escape(part)) for part in parts)


def _normal(name: str) -> str:
    normal = PurePosixPath(name).as_posix()
    return "" if normal == "." else normal


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return found


def _named(names: Sequence[str], row: list[str]) -> dict[str, str]:
    if len(row) != len(names):
        raise BadRecord("the row has another number of cells than the header", f"{len(row)}, not {len(names)}")
    return dict(zip(names, row, strict=True))
