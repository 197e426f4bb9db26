"""The proof that an output is complete: its files, what they were made from, and by which code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from med42lib.core.errors import DataError

MANIFEST_FILE = "manifest.json"
METRICS_FILE = "metrics.jsonl"
LAYOUT_VERSION = 1
_HASH_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of an output; `path` is relative to the output's folder, with forward slashes."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Input:
    """What an output was made from: the content's digest, and the address it was read at."""

    digest: str
    address: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that is recorded of one output.

    `digest` names the content alone; `METRICS_FILE`, which holds times, is listed but does not enter it.
    """

    stage: str
    target: str
    key: str
    config: dict[str, Any]
    inputs: dict[str, Input]
    files: tuple[FileEntry, ...]
    rows: int | None
    created_at: str
    seconds: float
    versions: dict[str, str] = field(default_factory=dict)
    layout: int = LAYOUT_VERSION

    @property
    def digest(self) -> str:
        """Name the content: equal for equal files, wherever and whenever they were made."""
        return files_digest(self.files)

    @property
    def total_bytes(self) -> int:
        """Sum the sizes of all files."""
        return sum(entry.bytes for entry in self.files)

    def to_json(self) -> str:
        """Write the manifest as indented JSON."""
        return json.dumps({**asdict(self), "digest": self.digest}, indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, content: str | bytes, *, where: str) -> Manifest:
        """Read a manifest.

        Raises:
            DataError: If the content is not a manifest of this layout; `where` goes into the message.
        """
        try:
            values: dict[str, Any] = json.loads(content)
            if values.get("layout") != LAYOUT_VERSION:
                raise ValueError(f"its layout is {values.get('layout')!r}, not {LAYOUT_VERSION}")
            values.pop("digest")
            values["inputs"] = {name: Input(**entry) for name, entry in values["inputs"].items()}
            values["files"] = tuple(FileEntry(**entry) for entry in values["files"])
            return cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise DataError(
                f"{where} is not a readable manifest of a stage's output ({error}); if that folder is yours, rename "
                "the file; otherwise delete the folder and run again"
            ) from error


def files_digest(files: Iterable[FileEntry]) -> str:
    """Hash names, sizes and contents of files into 64 hexadecimal digits, in any order, without times."""
    lines = sorted(f"{e.path}\0{e.bytes}\0{e.sha256}" for e in files if e.path != METRICS_FILE)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def describe_folder(folder: Path) -> tuple[FileEntry, ...]:
    """List every file below `folder` with size and sha256, sorted by path."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return describe_files({name: folder / name for name in names})


def describe_files(paths: Mapping[str, Path]) -> tuple[FileEntry, ...]:
    """Hash files by their names, several at a time: Python hashes outside its lock."""
    stop = Event()
    with ThreadPoolExecutor() as threads:
        try:
            return tuple(threads.map(partial(describe_file, stop=stop), paths.values(), paths))
        finally:
            stop.set()  # a signal must not wait for a hundred gigabytes


def describe_file(path: Path, name: str, *, stop: Event | None = None) -> FileEntry:
    """Hash one file in blocks of 1 MiB, and leave off early if told to stop."""
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as stream:
        while (block := stream.read(_HASH_BLOCK_BYTES)) and not (stop and stop.is_set()):
            digest.update(block)
            size += len(block)
    return FileEntry(name, size, digest.hexdigest())
