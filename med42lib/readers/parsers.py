"""Reading publishers' files: JSON, JSON lines, CSV and XML, every problem with its file and line.

A broken record becomes a `Reject` and the rest goes on. Where the fault leaves the rest unreadable (a JSON document
cut in the middle, a file that is not text), the whole file is refused with a `DataError`.

Each format is read as a stream of `Record | Reject`, and `each` turns such a stream into another:

    rows = csv_rows(file)                # Record[dict] | Reject
    questions = each(rows, _question)    # Record[Question] | Reject
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import xml.etree.ElementTree as ET
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from med42lib.core.errors import DataError
from med42lib.core.excerpts import quoted
from med42lib.formats.rejects import BadRecord, Reject
from med42lib.readers.fields import NAN
from med42lib.readers.files import MAX_LINE_BYTES, SIGNATURES, DataFile, advice
from med42lib.readers.unread import Row

MAX_LINES_CUT = 1000
"""More lines behind a quote that is never closed are rows of CSV, and not a text that was cut."""

_BINARY_TEST_BYTES = 1024

A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)
B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class Record(Generic[A_co]):
    """One record and where it stands: `line` is 1-based, or the record's number in formats without lines.

    `unread` names the publisher's fields with text that went into none of it: see `unread`.
    """

    file: str
    line: int
    value: A_co
    unread: tuple[str, ...] = field(default=(), compare=False)

    def with_value(self, value: B) -> Record[B]:
        """Give what was made of the record."""
        return Record(self.file, self.line, value, self.unread)


def each(records: Iterable[Record[A] | Reject], build: Callable[[A], B]) -> Iterator[Record[B] | Reject]:
    """Turn every record into another; one that `build` refuses with `BadRecord` becomes a `Reject`.

    So does one whose text `build` would drop although the question needs it: see `unread`.
    """
    for record in records:
        if isinstance(record, Reject):
            yield record
            continue
        row = Row(record.value) if isinstance(record.value, dict) else None
        try:
            value = build(record.value if row is None else cast(A, row))
            unread = record.unread if row is None else row.unread()
        except BadRecord as error:
            yield error.at(record.file, record.line, record.value)
        except RecursionError:
            yield BadRecord("the record is nested too deeply").at(record.file, record.line, record.value)
        else:
            yield Record(record.file, record.line, value, unread)


def json_document(file: DataFile, *, expected: str = "one JSON document") -> Any:
    """Read a file that is one JSON document.

    Args:
        file: The file.
        expected: What is to be in it, for messages.

    Raises:
        DataError: With line and column, if it is not; also if an object has the same key twice, since one of the
            two values would be lost.
    """
    text = file.text()
    try:
        return json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data" and error.lineno > 1:
            raise DataError(
                f"{file.name} is JSON lines, a value on each line, but expected is {expected}; if these are rows as "
                "the hub has them, say `layout: huggingface`"
            ) from None
        raise DataError(
            f"{file.name} is not a whole JSON document: {error}; it has {len(text):,} characters and may have been "
            "cut: copy it again"
        ) from None


def json_lines(file: DataFile) -> Iterator[Record[Any] | Reject]:
    """Read a file of one JSON value per line; blank lines are passed over.

    Raises:
        DataError: If the file is not text at all, or plainly one JSON document.
    """
    import orjson

    for number, line in enumerate(file.lines(), start=1):
        if number == 1 and (line.startswith(SIGNATURES) or b"\0" in line[:_BINARY_TEST_BYTES]):
            raise DataError(f"{file.name} is not a file of JSON lines: {advice(line)}")
        if number == 1 and line.strip() in (b"[", b"{"):
            raise DataError(
                f"{file.name} is one JSON document over several lines, but expected are JSON lines, an object on each "
                "line; `jq -c '.[]'` writes a list so"
            )
        if not line.strip():
            continue
        if len(line) == MAX_LINE_BYTES:
            yield BadRecord("the line is too long", f"more than {MAX_LINE_BYTES:,} bytes").at(file.name, number, line)
            continue
        try:
            value = orjson.loads(line.removeprefix(codecs.BOM_UTF8) if number == 1 else line)
        except orjson.JSONDecodeError as error:
            yield _bad_line(line, error).at(file.name, number, line)
        else:
            yield Record(file.name, number, value)


def _bad_line(line: bytes, error: ValueError) -> BadRecord:
    try:
        line.decode()
    except UnicodeDecodeError as not_text:
        return BadRecord("the line is not UTF-8 text", f"byte {not_text.start}")
    return BadRecord(NAN if _is_json_but_for_nan(line) else "the line is not valid JSON", str(error))


def _is_json_but_for_nan(line: bytes) -> bool:
    constants: list[str] = []
    try:
        json.loads(line, parse_constant=constants.append)
    except (ValueError, RecursionError):
        return False
    return "NaN" in constants


def csv_rows(file: DataFile) -> Iterator[Record[list[str]] | Reject]:
    """Read the rows of a CSV file, holding one in memory; a record's line is the first of its row.

    A stray quote makes the lines that follow part of its row, up to the next quote. Of a row that is not valid for it,
    only the first line is rejected, and the others are read again.

    Raises:
        DataError: If the file is not UTF-8, or a quote near its end is never closed.
    """
    csv.field_size_limit(MAX_LINE_BYTES)
    lines = _Lines(_text_lines(file))
    reader = csv.reader(lines, strict=True)
    line = 1
    while True:
        lines.begin_row()
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end of data" in str(error) and len(lines.row) <= MAX_LINES_CUT:
                raise DataError(
                    f"{file.name}:{line}: a quote in this row is never closed, so that the rest of the file cannot be "
                    "told apart; it has a stray quote or was cut"
                ) from None
            yield BadRecord("the row is not valid CSV", str(error)).at(file.name, line, lines.row[0])
            lines.read_again_after_the_first()
            line += 1
        else:
            if row:
                yield Record(file.name, line, row)
            line += len(lines.row)


class _Lines:
    """Lines of text, of which those of the current row can be read again."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._again: deque[str] = deque()
        self.row: list[str] = []
        self._num_characters = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self.row.append(line)
        self._num_characters += len(line)
        if isinstance(line, _CutLine):
            raise csv.Error(f"a line of it has more than {MAX_LINE_BYTES:,} bytes")
        if self._num_characters > MAX_LINE_BYTES:
            raise csv.Error(f"it has more than {MAX_LINE_BYTES:,} characters: a quote in it is not closed")
        return line

    def begin_row(self) -> None:
        self.row.clear()
        self._num_characters = 0

    def read_again_after_the_first(self) -> None:
        self._again.extendleft(reversed(self.row[1:]))


class _CutLine(str):
    """The beginning of a line that is too long to be read whole."""


def _text_lines(file: DataFile) -> Iterator[str]:
    """Read a file as lines of text, whichever of the three line ends it has."""
    num_bytes = 0
    beginning = b""
    for line in file.lines():
        beginning = beginning or line
        is_cut = len(line) == MAX_LINE_BYTES
        try:
            # A line that was cut may end in half a character.
            text = line.decode("utf-8" if num_bytes else "utf-8-sig", "ignore" if is_cut else "strict")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{file.name} is not UTF-8 text (byte {num_bytes + error.start:,}): {advice(beginning)}"
            ) from None
        num_bytes += len(line)
        has_returns = "\r" in text[:-2]
        if is_cut and has_returns:
            raise DataError(
                f"{file.name} has more than {MAX_LINE_BYTES:,} bytes without a line feed, but carriage returns; if "
                "these are its line ends, convert them with `tr '\\r' '\\n'`"
            )
        if is_cut:
            yield _CutLine(text)
        elif has_returns:
            yield from io.StringIO(text, newline="")
        else:
            yield text


def csv_records(file: DataFile, columns: Sequence[str] = ()) -> Iterator[Record[dict[str, str]] | Reject]:
    """Read a CSV file with a header as one dictionary per row.

    Raises:
        DataError: As `csv_rows`, or if one of the `columns` is missing from the header, or a column stands there twice,
            or its fields are separated by something else.
    """
    rows = csv_rows(file)
    header = next(rows, None)
    _check_commas(file, header)
    names = header.value if isinstance(header, Record) else []
    missing = [column for column in columns if column not in names]
    if missing:
        raise DataError(f"{file.name} has no column {', '.join(missing)}; its first row is {quoted(names)}")
    if twice := [column for number, column in enumerate(names) if column and column in names[:number]]:
        raise DataError(f"{file.name} has the column {quoted(twice[0])} twice; name one of them otherwise")
    return each(rows, lambda row: _named(names, row))


def _check_commas(file: DataFile, header: Record[list[str]] | Reject | None) -> None:
    """Make sure that a header is not one field because its fields are separated by semicolons or tabs."""
    if isinstance(header, Reject):  # quoted fields without commas are not valid
        text = header.record.strip()
    else:
        text = header.value[0] if header and len(header.value) == 1 else ""
    if ";" in text or "\t" in text:
        raise DataError(
            f"{file.name}: its header is one field, {quoted(text)}; write the file with commas between fields"
        )


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
