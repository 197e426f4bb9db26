"""Parts of an output, kept by what they were made of, so that a rerun makes only those that changed.

A stage's output is reused whole or not at all. A stage that reads many independent sources keeps what it made of each
under a key of its own, below `.parts/` in the store:

    folder = parts.find(key)
    if folder is None:
        ... write everything into parts.scratch(key) ...
        folder = parts.keep(key)

`.parts/` can be deleted at any time; the next run then reads everything again.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from med42lib.store.artifacts import Source
from med42lib.store.manifest import Manifest, describe_folder
from med42lib.store.store import join_address, open_store

PARTS_FOLDER = ".parts"


class Parts:
    """The kept parts of one stage in the store at an address; can be handed to another process."""

    def __init__(self, store_address: str, stage: str, scratch: Path) -> None:
        self._address, self._stage, self._scratch = store_address, stage, scratch

    def find(self, key: str) -> Path | None:
        """Give the local folder of a kept part, fetched if need be; None if there is none.

        Raises:
            DataError: If files of it are missing or differ from its manifest.
        """
        source = Source(join_address(self._address, self._prefix(key)), cache=self._scratch / "kept" / key)
        return None if source.manifest is None else source.path()

    def scratch(self, key: str) -> Path:
        """Make the empty folder in which a part is to be written."""
        folder = self._scratch / "made" / key
        folder.mkdir(parents=True)
        return folder

    def keep(self, key: str) -> Path:
        """Publish what was written into the scratch folder; returns where it lies on this machine."""
        folder = self._scratch / "made" / key
        manifest = Manifest(
            stage=self._stage,
            target="part",
            key=key,
            config={},
            inputs={},
            files=describe_folder(folder),
            rows=None,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=0.0,
        )
        store = open_store(self._address)
        store.publish(self._prefix(key), folder, manifest.files, manifest.to_json())
        return store.local_path(self._prefix(key)) or folder

    def _prefix(self, key: str) -> str:
        return f"{PARTS_FOLDER}/{self._stage}/{key}"
