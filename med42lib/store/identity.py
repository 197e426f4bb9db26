"""The hashes of the files in a folder or bucket: each file is read once, and again only when it has changed.

A listing says of each file its name, size and version (an ETag, or a time of change). Beside these three the store
keeps the SHA-256 that the file had when it was read:

    .hashes/<digest of the address>.json     {"train/a.jsonl": [1024, "1700000000-17", "9f86d0..."], ...}

So a folder of a terabyte that was read before costs a listing. The folder can be deleted at any time.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from threading import Event
from typing import Any

from med42lib.core.hashing import content_hash
from med42lib.core.progress import progress
from med42lib.store.base import Store, StoredFile
from med42lib.store.manifest import FileEntry, describe_blocks, in_threads

HASHES_FOLDER = ".hashes"

Known = dict[str, tuple[int, str, str]]
"""By a file's name: its size, its version and its SHA-256."""


class HashCache:
    """The hashes that are kept in one store, for files of any address; without a store it keeps them in memory."""

    def __init__(self, store: Store | None = None) -> None:
        self._store = store
        self._known: dict[str, Known] = {}
        self._new: set[str] = set()

    def entries(self, of: Store, files: Mapping[str, StoredFile]) -> tuple[FileEntry, ...]:
        """Describe files of a store by their listing, reading those that are new or may have changed.

        Each is known as soon as it is read, so that `save` keeps what was done when another cannot be.

        Raises:
            StoreError, AccessError, StoreUnavailable: If a file cannot be read.
        """
        known = self._known_of(of.address)
        found = {name: file.content or _hash_of(known, name, file) for name, file in files.items()}
        unread = [name for name, sha256 in found.items() if not sha256]
        found.update((entry.path, entry.sha256) for entry in self._read(of, unread, files))
        return tuple(FileEntry(name, file.bytes, found[name]) for name, file in files.items())

    def remember(self, of: Store, entries: Iterable[FileEntry]) -> None:
        """Take over what is known of files that were just written; of remote files, copies are checked instead."""
        if of.local_path("") is None:
            return
        files = of.files()
        self._known_of(of.address).update(
            {entry.path: (entry.bytes, files[entry.path].version, entry.sha256) for entry in entries}
        )
        self._new.add(of.address)

    def save(self, scratch: Path) -> None:
        """Write what was found out into the store; of two that write at once, one reads a little again next time.

        Args:
            scratch: A folder of this process's own.
        """
        for address in sorted(self._new if self._store else ()):
            assert self._store is not None
            scratch.mkdir(parents=True, exist_ok=True)
            path = scratch / f"hashes-{secrets.token_hex(4)}.json"
            path.write_text(json.dumps(self._known[address]), encoding="utf-8")
            self._store.put(_file_of(address), path)
        self._new.clear()

    def _read(self, of: Store, names: list[str], files: Mapping[str, StoredFile]) -> list[FileEntry]:
        with progress(f"reading {of.address}", sum(files[name].bytes for name in names), unit="B") as bar:

            def described(name: str, stop: Event) -> FileEntry:
                entry = describe_blocks(of.blocks(name), name, stop=stop)
                bar.advance(entry.bytes)
                if not stop.is_set():  # else it may not have been read to its end
                    self._record(of.address, entry, files[name])
                return entry

            return in_threads(described, names)

    def _record(self, address: str, entry: FileEntry, file: StoredFile) -> None:
        if file.settled:
            self._known[address][entry.path] = (entry.bytes, file.version, entry.sha256)
            self._new.add(address)

    def _known_of(self, address: str) -> Known:
        if address not in self._known:
            content = self._store.read(_file_of(address)) if self._store else None
            self._known[address] = _parsed(content)
        return self._known[address]


def _file_of(address: str) -> str:
    return f"{HASHES_FOLDER}/{content_hash(address, length=32)}.json"


def _hash_of(known: Known, name: str, file: StoredFile) -> str:
    size, version, sha256 = known.get(name, (-1, "", ""))
    return sha256 if (size, version) == (file.bytes, file.version) else ""


def _parsed(content: bytes | None) -> Known:
    """Read what `save` wrote. Anything else is worth no more than a file that was never read."""
    try:
        values: dict[str, Any] = json.loads(content or b"{}")
        return {name: (int(size), str(version), str(sha256)) for name, (size, version, sha256) in values.items()}
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}
