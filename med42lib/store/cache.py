"""A stage's intermediate results, kept between runs by what they were made of: a rerun makes only what changed.

A stage's output is reused whole or not at all. A stage that reads many independent sources keeps what it made of each
under a key of its own, below `.cache/` in the store:

    folder = cache.find(key)
    if folder is None:
        ... write everything into cache.scratch(key) ...
        folder = cache.keep(key)

`.cache/` can be deleted at any time; the next run then reads everything again.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from med42lib.store.address import open_store
from med42lib.store.artifacts import Source
from med42lib.store.identity import HashCache
from med42lib.store.manifest import Manifest, describe_folder
from med42lib.store.publish import Upload, find_sealed

CACHE_FOLDER = ".cache"
_KEPT = "kept"


class StageCache:
    """Intermediate results of one stage in the store at an address; can be handed to another process."""

    def __init__(self, store_address: str, stage: str, scratch: Path) -> None:
        self._address, self._stage, self._scratch = store_address, stage, scratch

    def find(self, key: str) -> Path | None:
        """Give the local folder of what was kept, fetched if need be; None if there is nothing.

        Raises:
            DataError: If files of it are missing or differ from its manifest.
        """
        store = open_store(self._address)
        sealed = find_sealed(store, self._prefix(key), [_KEPT])
        if sealed is None:
            return None
        hashes = HashCache(store)
        folder = Source(sealed.output(_KEPT), cache=self._scratch / "kept" / key, hashes=hashes).path()
        hashes.save(self._scratch)
        return folder

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
