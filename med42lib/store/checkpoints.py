"""Checkpoints of an output that is not finished: another attempt at the same key goes on where one was killed.

    train/<key>/checkpoints/00000500-<attempt>/rank-00003.safetensors    files, put by several processes
    train/<key>/checkpoints/00000500-<attempt>/manifest.json    put once, last: only now it is a checkpoint
    train/<key>/checkpoints/starts/000002-00000500-<attempt>    the third start of this work, from step 500; empty

Two attempts that work at once do not meet, and each may go on from what the other saved: the key says that it is the
same work. Nothing here is an output; it goes when the output is sealed, or a day later (`publish.find_sealed`). Of a
key that is never finished, because the settings were changed, it stays: delete the folder `checkpoints`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from med42lib.core.errors import DataError, Med42Error
from med42lib.core.log import log
from med42lib.store.address import join_address
from med42lib.store.artifacts import Source
from med42lib.store.base import Store, StoredFile
from med42lib.store.manifest import MANIFEST_FILE, FileEntry, Manifest, describe_file
from med42lib.store.patience import impatient
from med42lib.store.publish import tidy

CHECKPOINTS_FOLDER = "checkpoints"
KEEP = 2
"""Checkpoints that are kept: the newest, and one to fall back to if it is damaged."""

_CHECKPOINT, _STARTS = "checkpoint", "starts"
_NAME = re.compile(r"(\d{8,})-[^/]+")
_START = re.compile(r"/\d{6,}-(\d{8,})-[^/]+$")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint. `state` is what was said when it was sealed."""

    step: int
    address: str
    state: Mapping[str, Any]

    def source(self, cache: Path) -> Source:
        """Open its files, each compared with the manifest when it is asked for.

        Args:
            cache: A folder for those that have to be fetched.
        """
        return Source(self.address, cache=cache)


class Checkpoints:
    """The checkpoints of one key in a store, to which one attempt adds; each of its processes may have one of these."""

    def __init__(self, store: Store, prefix: str, attempt: str) -> None:
        self._store, self._prefix, self._attempt = store, prefix, attempt

    @property
    def address(self) -> str:
        """Where they lie."""
        return join_address(self._store.address, self._folder)

    def put(self, step: int, name: str, path: Path) -> FileEntry:
        """Put one file of a checkpoint; the local file may be gone afterwards."""
        entry = describe_file(path, name)
        self._store.put(f"{self._own(step)}/{name}", path)
        return entry

    def seal(
        self, step: int, files: Iterable[FileEntry], state: Mapping[str, Any], best_step: int | None = None
    ) -> None:
        """Make a checkpoint of what all processes have put, and remove those that it makes useless.

        Args:
            step: Steps done.
            files: What every `put` of every process returned.
            state: Small values, written as JSON, that whoever goes on has to know.
            best_step: The step whose checkpoint stays too, however old it is.
        """
        stage, _, key = self._prefix.partition("/")
        manifest = Manifest(
            stage=stage,
            target=_CHECKPOINT,
            key=key,
            config=dict(state),
            inputs={},
            files=tuple(files),
            rows=step,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=0.0,
        )
        name = f"{self._own(step)}/{MANIFEST_FILE}"
        self._store.delete(name)  # an earlier start of this attempt, which went back, has put other bytes
        self._store.put_once(name, manifest.to_json().encode())
        try:
            self._remove_old(best_step)
        except (Med42Error, OSError) as error:
            log("store").warning("old checkpoints in %s could not be removed: %s", self.address, error)

    def discard(self, step: int) -> None:
        """Remove what was put of a checkpoint that not all processes could put."""
        with impatient():
            tidy(self._store, self._own(step))

    def complete(self) -> Iterator[Checkpoint]:
        """Give the complete ones, the newest first; one that lacks files, or has others, is named and left out."""
        return self._complete(self._listed())

    def _complete(self, listed: Mapping[str, Mapping[str, StoredFile]]) -> Iterator[Checkpoint]:
        for folder in sorted(listed, reverse=True):
            content = self._store.read(f"{self._folder}/{folder}/{MANIFEST_FILE}")
            if content is not None:
                try:
                    yield self._checked(folder, content, listed[folder])
                except DataError as error:
                    log("store").warning("a checkpoint cannot be used: %s", error)

    def newest(self) -> Checkpoint | None:
        """Give the newest complete one; None if there is none."""
        return next(self.complete(), None)

    def count_starts(self, step: int) -> int:
        """Note that work begins at a step; says how many starts in a row, this one too, did there.

        One process calls it, once in each start of all. Pods, drivers and machines may be gone; this stays.
        """
        folder = f"{self._folder}/{_STARTS}"
        before = [int(found[1]) for name in self._store.files(folder) if (found := _START.search(name))]
        self._store.put_once(f"{folder}/{len(before):06}-{step:08}-{self._attempt}", b"")
        return 1 + sum(1 for _ in takewhile(lambda earlier: earlier == step, reversed(before)))

    def take_back_start(self) -> None:
        """Count this attempt's last start no more: it was asked to stop, and did not break down."""
        with impatient():
            names = self._store.files(f"{self._folder}/{_STARTS}")
            for name in [name for name in names if name.endswith(f"-{self._attempt}")][-1:]:
                tidy(self._store, name)

    def forget_starts(self) -> None:
        """Begin to count anew."""
        tidy(self._store, f"{self._folder}/{_STARTS}")

    def remove(self) -> None:
        """Remove all of them: the output is finished."""
        tidy(self._store, self._folder)

    @property
    def _folder(self) -> str:
        return f"{self._prefix}/{CHECKPOINTS_FOLDER}"

    def _own(self, step: int) -> str:
        return f"{self._folder}/{step:08}-{self._attempt}"

    def _listed(self) -> dict[str, dict[str, StoredFile]]:
        """List the files of each checkpoint, complete or not, by their names in it."""
        found: dict[str, dict[str, StoredFile]] = {}
        for name, file in self._store.files(self._folder).items():
            folder, _, inner = name.removeprefix(f"{self._folder}/").partition("/")
            if inner and _NAME.fullmatch(folder):
                found.setdefault(folder, {})[inner] = file
        return found

    def _checked(self, folder: str, content: bytes, files: Mapping[str, StoredFile]) -> Checkpoint:
        address = join_address(self.address, folder)
        manifest = Manifest.from_json(content, where=f"{address}/{MANIFEST_FILE}")
        for entry in manifest.files:
            if entry.path not in files or files[entry.path].bytes != entry.bytes:
                raise DataError(f"{address}/{entry.path} is missing or not {entry.bytes:,} bytes long")
        return Checkpoint(_step(folder), address, manifest.config)

    def _remove_old(self, best_step: int | None) -> None:
        """Remove all but the newest, the best, and what is younger than the newest: it may be in the making."""
        listed = self._listed()
        kept = list(islice(self._complete(listed), KEEP))
        newest = max((checkpoint.step for checkpoint in kept), default=0)
        addresses = {checkpoint.address for checkpoint in kept}
        for folder in listed:
            if best_step != _step(folder) < newest and join_address(self.address, folder) not in addresses:
                tidy(self._store, f"{self._folder}/{folder}")


def attempt_of(address: str) -> str | None:
    """Give the address of the attempt that saved the checkpoint at an address; None if no checkpoint's is like it."""
    key, _, folder = address.rstrip("/").rpartition(f"/{CHECKPOINTS_FOLDER}/")
    return join_address(key, folder.partition("-")[2]) if key and _NAME.fullmatch(folder) else None


def _step(folder: str) -> int:
    return int(folder.partition("-")[0])
