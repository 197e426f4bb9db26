"""A stage's intermediate results, kept between runs by what they were made of: a rerun makes only what changed.

A stage's output is reused whole or not at all. A stage that reads many independent sources keeps what it made of each
under a key of its own, below `.cache/` in the store:

    folder = cache.find(key)
    if folder is None:
        ... write everything into cache.scratch(key) ...
        folder = cache.keep(key)

What grows from run to run is kept in parts, each under a key of its own, which `parts` lists; stages that keep the same
share a cache (`shared`).

`.cache/` can be deleted at any time; the next run then reads everything again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Set
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from med42lib.store.address import open_store
from med42lib.store.artifacts import Source
from med42lib.store.base import StoredFile
from med42lib.store.identity import HashCache
from med42lib.store.manifest import MANIFEST_FILE, Manifest, describe_folder
from med42lib.store.publish import Upload, find_sealed, tidy

CACHE_FOLDER = ".cache"
SECONDS_UNTIL_WHOLE = 3600.0
"""A younger part may be one that another run is putting there, or has found and reads where it lies."""

_KEPT = "kept"


@dataclass(frozen=True, slots=True)
class StoredPart:
    """What lies under a key, whole or not; `modified` is in seconds since 1970.

    That is when its youngest file was written or, in a folder, when `find` last gave it.
    """

    bytes: int
    modified: float


class StageCache:
    """Intermediate results of one stage in the store at an address; can be handed to another process."""

    def __init__(self, store_address: str, stage: str, scratch: Path) -> None:
        self._address, self._stage, self._scratch = store_address, stage, scratch

    def shared(self, name: str) -> StageCache:
        """Give the cache of that name, which is of several stages."""
        return StageCache(self._address, name, self._scratch / name)

    def find(self, key: str) -> Path | None:
        """Give the local folder of what was kept, fetched if need be; None if there is nothing.

        What lies in a folder is read there for as long as a run takes, so it counts as young from now on.

        Raises:
            DataError: If files of it are missing or differ from its manifest.
        """
        hashes = HashCache(open_store(self._address))
        source = self.open(key, hashes)
        if source is None:
            return None
        if not source.is_remote:
            with suppress(OSError):  # another user's
                os.utime(source.reach(MANIFEST_FILE))
        folder = source.path()
        hashes.save(self._scratch)
        return folder

    def open(self, key: str, hashes: HashCache | None = None) -> Source | None:
        """Give what was kept, of which only those files are fetched that are asked for; None if there is nothing."""
        sealed = find_sealed(open_store(self._address), self._prefix(key), [_KEPT])
        if sealed is None:
            return None
        return Source(sealed.output(_KEPT), cache=self._scratch / "kept" / key, hashes=hashes)

    def parts(self) -> dict[str, StoredPart]:
        """List all keys under which something lies, with its size."""
        folder = f"{CACHE_FOLDER}/{self._stage}"
        files: dict[str, list[StoredFile]] = {}
        for name, file in open_store(self._address).files(folder).items():
            files.setdefault(name.removeprefix(f"{folder}/").partition("/")[0], []).append(file)
        return {
            key: StoredPart(sum(file.bytes for file in found), max(file.modified for file in found))
            for key, found in files.items()
        }

    def forget(self, key: str) -> bool:
        """Remove what lies under a key, if that is allowed; who reads it at that moment finds it damaged."""
        return tidy(open_store(self._address), self._prefix(key))

    def make_room(self, num_bytes: int, most_bytes: int, *, used: Set[str]) -> bool:
        """Remove the oldest parts until so many bytes more are at most `most_bytes`; say whether they are now.

        Args:
            num_bytes: What is to be kept next.
            most_bytes: Of all parts together.
            used: Keys that this run needs, which stay. So does what is young: another run may be putting it there, or
                reading it.
        """
        parts = self.parts()
        excess = sum(part.bytes for part in parts.values()) + num_bytes - most_bytes
        for key, part in sorted(parts.items(), key=lambda entry: entry[1].modified):
            is_old = time.time() - part.modified > SECONDS_UNTIL_WHOLE
            if excess > 0 and key not in used and is_old and self.forget(key):
                excess -= part.bytes
        return excess <= 0

    def scratch(self, key: str) -> Path:
        """Make the empty folder in which something is to be written."""
        folder = self._scratch / "made" / key
        folder.mkdir(parents=True)
        return folder

    def keep(self, key: str) -> Path:
        """Publish what was written into the scratch folder; returns where it lies on this machine."""
        folder = self._scratch / "made" / key
        store = open_store(self._address)
        upload, manifest = Upload(store, self._prefix(key)), self._manifest(key, folder)
        upload.put_folder(_KEPT, folder, manifest)
        sealed = upload.seal([_KEPT])
        kept = open_store(sealed.output(_KEPT))
        if sealed.attempt == upload.attempt:
            hashes = HashCache(store)
            hashes.remember(kept, manifest.files)
            hashes.save(self._scratch)
        return kept.local_path("") or folder

    def _manifest(self, key: str, folder: Path) -> Manifest:
        return Manifest(
            stage=self._stage,
            target=_KEPT,
            key=key,
            config={},
            inputs={},
            files=describe_folder(folder),
            rows=None,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=0.0,
        )

    def _prefix(self, key: str) -> str:
        return f"{CACHE_FOLDER}/{self._stage}/{key}"
