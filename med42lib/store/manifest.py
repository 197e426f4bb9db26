"""The proof that an output is complete: its files, what they were made from, and by which code."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, astuple, dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from med42lib.core.errors import DataError
from med42lib.store.names import check_apart, checked_name

MANIFEST_FILE = "manifest.json"
METRICS_FILE = "metrics.jsonl"
LAYOUT_VERSION = 2
COMMIT = "med42-suite commit"
"""In `Manifest.versions`: that of the code which did the work, where it is known."""
_HASH_BLOCK_BYTES = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
GIT_PREFIX = "git-blob:"
_GIT_BLOB = re.compile(rf"{GIT_PREFIX}[0-9a-f]{{40}}")
_FILES_AT_ONCE = 8
_MOST_SECONDS = 1e9

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of an output; `path` is relative to the output's folder, with forward slashes.

    A `note` is for people, or holds times: it is checked like any other file, but does not enter the digest. `sha256`
    is 64 hexadecimal digits; for a hub's small files, of which the hub keeps no SHA-256, it is `git-blob:` and the
    40 digits of git's own hash.
    """

    path: str
    bytes: int
    sha256: str
    note: bool = False

    @classmethod
    def parse(cls, values: Mapping[str, object], *, where: str) -> FileEntry:
        """Read an entry that may come from a stranger.

        Raises:
            ValueError: If a value is not of the right type or form.
            DataError: If the name does not stay in its folder.
        """
        size, sha256, note = values["bytes"], values["sha256"], values.get("note", False)
        if type(size) is not int or size < 0 or not isinstance(sha256, str) or not isinstance(note, bool):
            raise ValueError(f"a file's size, sha256 or note is of the wrong type: {str(values)[:200]}")
        if not (_SHA256.fullmatch(sha256) or _GIT_BLOB.fullmatch(sha256)):
            raise ValueError(f"{sha256[:80]!r} is no SHA-256")
        return cls(checked_name(values["path"], where=where), size, sha256, note)


@dataclass(frozen=True, slots=True)
class Input:
    """What an output was made from: the content's digest, and the address it was read at."""

    digest: str
    address: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that is recorded of one output.

    `digest` names the content alone: notes are listed but do not enter it.
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

    def setting(self, name: str) -> Any:
        """Give one of the settings that the output was made with.

        Raises:
            DataError: If there is none of that name: it is another stage's output then, or a stranger's.
        """
        return self._recorded(self.config, name, "setting")

    def input(self, edge: str) -> Input:
        """Give one of the inputs that the output was made from.

        Raises:
            DataError: If there is none of that name: it is another stage's output then, or a stranger's.
        """
        found: Input = self._recorded(self.inputs, edge, "input")
        return found

    def _recorded(self, values: Mapping[str, Any], name: str, kind: str) -> Any:
        if name not in values:
            raise DataError(
                f"the manifest of {self.target!r}, made by {self.stage!r} as {self.key}, records no {kind} {name!r}; "
                "check that the address is that of the right stage's output"
            )
        return values[name]

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
            return cls._parsed(json.loads(content), where)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise DataError(
                f"{where} is not a readable manifest of a stage's output ({str(error)[:300]}); if that folder is "
                "yours, rename the file; otherwise delete the folder and run again"
            ) from error

    @classmethod
    def _parsed(cls, values: dict[str, Any], where: str) -> Manifest:
        if values.get("layout") != LAYOUT_VERSION:
            raise ValueError(f"its layout is {str(values.get('layout'))[:80]}, not {LAYOUT_VERSION}")
        digest = values.pop("digest")
        values["inputs"] = {name: Input(**entry) for name, entry in values["inputs"].items()}
        for name in ("stage", "target", "key"):
            checked_name(values[name], where=f"{name!r} in {where}")
        values["files"] = tuple(FileEntry.parse(entry, where=where) for entry in values["files"])
        manifest = cls(**values)
        manifest._check_types()
        if len({entry.path for entry in manifest.files}) != len(manifest.files):
            raise ValueError("it lists a file twice")
        check_apart([entry.path for entry in manifest.files], where=where)
        if manifest.digest != digest:
            raise ValueError("its digest is not that of the files it lists")
        return manifest

    def _check_types(self) -> None:
        """Make sure of what readers rely on: a stranger may have written anything."""
        texts = [*self.versions.values(), *(text for entry in self.inputs.values() for text in astuple(entry))]
        if not all(isinstance(text, str) for text in texts) or not isinstance(self.config, dict):
            raise ValueError("its versions, inputs or config are of the wrong type")
        if not (self.rows is None or type(self.rows) is int) or not 0 <= self.seconds < _MOST_SECONDS:
            raise ValueError("its rows or seconds are of the wrong type or out of range")
        datetime.fromisoformat(self.created_at)


def files_digest(files: Iterable[FileEntry]) -> str:
    """Hash names, sizes and contents of files into 64 hexadecimal digits, in any order, without notes."""
    lines = sorted(f"{e.path}\0{e.bytes}\0{e.sha256}" for e in files if not e.note)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def describe_folder(folder: Path, notes: Set[str] = frozenset()) -> tuple[FileEntry, ...]:
    """List every file below `folder` with size and sha256, sorted by path; those named in `notes` are notes."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())

    def described(name: str, stop: Event) -> FileEntry:
        return replace(describe_file(folder / name, name, stop=stop), note=name in notes)

    return tuple(in_threads(described, names))


def in_threads(do: Callable[[str, Event], T], names: Sequence[str]) -> list[T]:
    """Hash or fetch several files at a time: Python hashes outside its lock. The event is set when it is to end early.

    A signal or an error does not wait for files that are under way, which may be a hundred gigabytes, nor does
    `core.process.end_with` when the process ends.
    """
    stop, threads = Event(), ThreadPoolExecutor(max_workers=_FILES_AT_ONCE)
    try:
        futures = [threads.submit(do, name, stop) for name in names]
        for future in as_completed(futures):
            future.result()
        return [future.result() for future in futures]
    finally:
        stop.set()
        threads.shutdown(wait=False, cancel_futures=True)


def describe_file(path: Path, name: str, *, stop: Event | None = None) -> FileEntry:
    """Hash one file in blocks of 1 MiB, and leave off early if told to stop."""
    with path.open("rb") as stream:
        return describe_blocks(iter(partial(stream.read, _HASH_BLOCK_BYTES), b""), name, stop=stop)


def describe_blocks(blocks: Iterable[bytes], name: str, *, stop: Event | None = None) -> FileEntry:
    """Hash a file that comes in blocks, and leave off early if told to stop."""
    digest = hashlib.sha256()
    size = 0
    for block in blocks:
        if stop and stop.is_set():
            break
        digest.update(block)
        size += len(block)
    return FileEntry(name, size, digest.hexdigest())


def has_content(path: Path, sha256: str) -> bool:
    """Say whether a file has the content that a `FileEntry.sha256` names."""
    if not sha256.startswith(GIT_PREFIX):
        return describe_file(path, path.name).sha256 == sha256
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as stream:
        for block in iter(partial(stream.read, _HASH_BLOCK_BYTES), b""):
            digest.update(block)
    return digest.hexdigest() == sha256.removeprefix(GIT_PREFIX)
