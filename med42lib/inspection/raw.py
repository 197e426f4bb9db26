"""The record that a row was made of, read again from the publisher's file by the reader of its source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from med42lib.assemble.config import SOURCES
from med42lib.assemble.source import FileReader, load_source
from med42lib.core.errors import DataError, Med42Error
from med42lib.core.hashing import content_hash
from med42lib.formats.records import Example, Origin
from med42lib.formats.rejects import Reject
from med42lib.readers.files import DataFile
from med42lib.readers.own.tables import own_rows
from med42lib.store.address import dataset_address
from med42lib.store.artifacts import Source
from med42lib.store.manifest import Manifest, describe_file, has_content

MAX_DEPTH = 100
"""Levels of a record that are shown; no publisher nests more than five, and Python gives up at some hundreds."""


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record of a publisher's file. `number` is its line, or its number in formats without lines.

    `sha256` is the file's when it was assembled, empty if that is not recorded. `record` is a JSON value: what Parquet
    has beyond those, such as dates, is text. It is None if it could not be read; `note` then says why, or that the file
    was changed since.
    """

    address: str
    file: str
    number: int
    sha256: str
    record: Any
    note: str


def raw_of(example: Example, manifest: Manifest, *, sha256: str, cache: Path) -> RawRecord:
    """Read the record that an example was made of, if the folder that assemble read is still there.

    Args:
        example: What was made of it.
        manifest: Of the data set.
        sha256: Of the record's file, when it was assembled; empty if not recorded.
        cache: Where a remote file is fetched to.
    """
    source, origin = example.source, example.origin
    settings = manifest.config.get("sources", {}).get(source)
    if settings is None:
        note = "the output of assemble, which names its data folder, is no longer there"
        return RawRecord("", origin.file, origin.line, sha256, None, note)
    address = dataset_address(settings["hub"]) if settings.get("hub") else manifest.input("data").address
    is_own = settings.get("format") is not None
    if not is_own and source not in SOURCES.names():
        note = f"this version of med42 has no reader of {source!r}"
        return RawRecord(address, origin.file, origin.line, sha256, None, note)
    records = own_rows if is_own else load_source(source).layout(settings["layout"]).records
    return find_raw(address, origin, records, sha256=sha256, cache=cache / content_hash(address))


def find_raw(address: str, origin: Origin, records: FileReader, *, sha256: str, cache: Path) -> RawRecord:
    """Read a record from where it came, if that is still there; only this one file is fetched.

    Args:
        address: The data folder.
        origin: The record's file, and its line or number.
        records: Reads a file of this layout.
        sha256: Of the file, when it was assembled; empty if not recorded.
        cache: Where a remote file is fetched to.
    """
    record, notes = None, []
    try:
        path = Source(address, cache=cache).reach(origin.file)
        if sha256 and not has_content(path, sha256):
            notes.append(f"the file was changed since: its sha256 is now {describe_file(path, path.name).sha256}")
        record = _as_json(record_at(DataFile(origin.file, path), origin.line, records))
    except Med42Error as error:
        notes.append(f"cannot be read any more: {error}")
    return RawRecord(address, origin.file, origin.line, sha256, record, "; ".join(notes))


def record_at(file: DataFile, line: int, records: FileReader) -> Any:
    """Read a file as far as a record; what the reader holds at a time, this holds too.

    Raises:
        DataError: If there is none at this line, or the reader cannot use it.
    """
    found = next((found for found in records(file) if found.line == line), None)
    if found is None:
        raise DataError(f"{file.name} has no record {line:,}")
    if isinstance(found, Reject):
        raise DataError(f"{file.name}, record {line:,}: {found.reason} ({found.detail})")
    return found.value


def _as_json(value: Any, depth: int = 0) -> Any:
    if depth == MAX_DEPTH:
        return "…"
    if isinstance(value, dict):
        return {str(key): _as_json(part, depth + 1) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(part, depth + 1) for part in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)
