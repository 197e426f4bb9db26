"""The record an example was made of, as it stands in the publisher's file."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Set
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from med42lib.core.errors import DataError, Med42Error
from med42lib.formats.records import Origin
from med42lib.formats.rejects import BadRecord
from med42lib.inspection.documents import record_of_json, record_of_xml
from med42lib.readers.files import DataFile
from med42lib.readers.parsers import json_document, xml_root
from med42lib.store.artifacts import Source
from med42lib.store.manifest import describe_file

MAX_ROW_LINES = 10_000


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record of a publisher's file. `number` is its line, or its number in formats without lines.

    `sha256` is the file's when it was assembled, empty if that is not recorded. `text` is None if the record could not
    be read; `note` then says why, or that the file was changed since.
    """

    address: str
    file: str
    number: int
    sha256: str
    text: str | None
    note: str


def find_raw(address: str, origin: Origin, *, sha256: str, words: Set[str], cache: Path) -> RawRecord:
    """Read a record from where it came, if that is still there; only this one file is fetched.

    Args:
        address: The data folder.
        origin: The record's file, and its line or number.
        sha256: Of the file, when it was assembled; empty if not recorded.
        words: Words of the example, to tell the record in a document.
        cache: Where a remote file is fetched to.
    """
    text, note = None, ""
    try:
        path = Source(address, cache=cache).reach(origin.file)
        note = _changed(path, sha256)
        text = raw_text(DataFile(origin.file, path), origin.line, words)
    except Med42Error as error:
        note = f"{note}{'; ' if note else ''}cannot be read any more: {error}"
    if text is None and not note:
        note = f"the file has no record {origin.line:,}"
    return RawRecord(address, origin.file, origin.line, sha256, text, note)


def no_raw(origin: Origin, sha256: str, *, note: str) -> RawRecord:
    """Say why a record is not there."""
    return RawRecord("", origin.file, origin.line, sha256, None, note)


def raw_text(file: DataFile, number: int, words: Set[str]) -> str | None:
    """Give a record's own text; a row of Parquet and a part of a JSON document are written as JSON.

    Raises:
        DataError: If the file is broken.
    """
    suffix = PurePosixPath(file.name.removesuffix(".gz")).suffix
    if suffix == ".parquet":
        return _parquet_row(file, number)
    if suffix == ".csv":
        return _csv_row(file, number)
    if suffix == ".xml":
        return _xml_part(file, number, words)
    if suffix == ".json":
        return _json_part(file, number, words)
    return _line(file, number)


def _changed(path: Path, sha256: str) -> str:
    now = describe_file(path, path.name).sha256
    return f"the file was changed since: its sha256 is now {now}" if sha256 and now != sha256 else ""


def _line(file: DataFile, number: int) -> str | None:
    line = next(islice(file.lines(), number - 1, None), None)
    return None if line is None else line.decode("utf-8-sig", "replace").rstrip("\r\n")


def _csv_row(file: DataFile, number: int) -> str | None:
    """Take lines until the quotes are even, since a cell may hold line breaks."""
    row, num_quotes = "", 0
    for line in islice(_csv_lines(file), number - 1, number - 1 + MAX_ROW_LINES):
        row, num_quotes = row + line, num_quotes + line.count('"')
        if num_quotes % 2 == 0:
            break
    return row.rstrip("\r\n") or None


def _csv_lines(file: DataFile) -> Iterator[str]:
    """Split lines as `csv_rows` counts them, at a lone carriage return too."""
    for line in file.lines():
        yield from io.StringIO(line.decode("utf-8-sig", "replace"), newline="")


def _json_part(file: DataFile, number: int, words: Set[str]) -> str | None:
    """Read a JSON document, or JSON lines in a file named `.json`: there the first two lines are objects."""
    beginning = list(islice((line for line in file.lines() if line.strip()), 2))
    if len(beginning) == 2 and all(map(_is_object, beginning)):
        return _line(file, number)
    record = record_of_json(json_document(file), number, words)
    return None if record is None else json.dumps(record, ensure_ascii=False, indent=1)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _xml_part(file: DataFile, number: int, words: Set[str]) -> str | None:
    try:
        element = record_of_xml(xml_root(file), number, words)
    except BadRecord as error:
        raise DataError(f"{file.name}: {error}") from error
    return None if element is None else ET.tostring(element, encoding="unicode").strip()


def _parquet_row(file: DataFile, number: int) -> str | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from med42lib.inspection.find import parquet_row

    try:
        with pq.ParquetFile(file.path) as table:
            row = parquet_row(table, number)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{file.name} is not a whole Parquet file ({error})") from error
    return None if row is None else json.dumps(row.to_pylist()[0], ensure_ascii=False, indent=1, default=str)
