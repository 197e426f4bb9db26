"""The two ends of an edge between stages: a `Source` is read, a `Target` is written.

To a stage both are folders. Whether a source has to be downloaded first, and where a target goes when the stage
is done, is the runner's business.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from med42lib.core.errors import DataError
from med42lib.store.manifest import (
    MANIFEST_FILE,
    METRICS_FILE,
    FileEntry,
    Manifest,
    describe_file,
    describe_files,
    files_digest,
)
from med42lib.store.store import Store, open_store, writing

if TYPE_CHECKING:
    from med42lib.store.cache import Parts


class Source:
    """What a stage reads: the finished output of another stage, or a folder of the user's.

    Files of a remote source are fetched on first use and checked against the manifest.
    """

    def __init__(self, address: str, *, cache: Path | None = None, files: tuple[FileEntry, ...] | None = None) -> None:
        self.address = address
        self._store: Store = open_store(address)
        self._cache = cache
        self._checked: set[str] = set()
        if files is not None:
            self.files = files

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process with what is known of the files, so that it need not hash them again."""
        return partial(Source, cache=self._cache, files=self.files), (self.address,)

    def narrowed(self, files: tuple[FileEntry, ...]) -> Source:
        """Give the same source with only these of its files."""
        return Source(self.address, cache=self._cache, files=files)

    @cached_property
    def manifest(self) -> Manifest | None:
        """The manifest, or None for a folder of the user's."""
        content = self._store.read(MANIFEST_FILE)
        return None if content is None else Manifest.from_json(content, where=f"{self.address}/{MANIFEST_FILE}")

    @cached_property
    def files(self) -> tuple[FileEntry, ...]:
        """Every file with size and sha256: from the manifest, from a hub, or by hashing a folder of the user's.

        Raises:
            DataError: If there is nothing at the address.
        """
        if self.manifest is not None:
            return self.manifest.files
        known = self._store.entries()
        if known is not None:
            return known
        described = describe_files({name: self._fetched(name) for name in self.sizes()})
        self._checked.update(entry.path for entry in described)
        return described

    def sizes(self) -> dict[str, int]:
        """Give every file's size in bytes, by name; no file is read for it.

        Raises:
            DataError: If there is nothing at the address.
        """
        if "files" in vars(self) or self.manifest is not None:
            return {entry.path: entry.bytes for entry in self.files}
        sizes = self._store.sizes()
        if not sizes:
            raise DataError(f"{self.address} holds no files; check the address")
        return sizes

    @property
    def digest(self) -> str:
        """The content's name: 64 hexadecimal digits that do not depend on the address."""
        return files_digest(self.files)

    def path(self, name: str = "") -> Path:
        """Give the local path of one file, of a sub-folder, or of everything.

        Raises:
            DataError: If there is nothing of that name, or a fetched file differs from its manifest.
        """
        wanted = self._at(name)
        if not wanted:
            raise DataError(f"{self.address} has no {name!r}; it has {listing(self.files)}")
        for entry in wanted:
            self._check(self._fetched(entry.path), entry)
        local = self._store.local_path(name)
        return local if local is not None else self._cached(name)

    def reach(self, name: str) -> Path:
        """Give the local path of one file, fetched if need be; neither it nor any other is hashed or checked.

        Raises:
            DataError: If there is no such file.
            StoreError, AccessError, StoreUnavailable: If the place cannot be reached.
        """
        path = self._fetched(name)
        if not path.is_file():
            raise DataError(f"{self.address} has no file {name}")
        return path

    def has(self, name: str) -> bool:
        """Say whether there is a file or sub-folder of this name, without fetching it; no name is the whole."""
        return bool(self._at(name))

    def has_file(self, name: str) -> bool:
        """Say whether there is a file, not a sub-folder, of this name."""
        return name in self._by_name

    def metrics(self) -> Iterator[dict[str, Any]]:
        """Read what the stage logged with `Target.metric`, in order."""
        if self.has(METRICS_FILE):
            for line in self.path(METRICS_FILE).read_text().splitlines():
                yield json.loads(line)

    @cached_property
    def _by_name(self) -> dict[str, FileEntry]:
        return {entry.path: entry for entry in self.files}

    def _at(self, name: str) -> Sequence[FileEntry]:
        """List the file of this name, or all below the sub-folder."""
        if not name:
            return self.files
        if name in self._by_name:
            return [self._by_name[name]]
        return [entry for entry in self.files if entry.path.startswith(f"{name}/")]

    def _cached(self, name: str) -> Path:
        if self._cache is None:
            raise AssertionError(f"the remote source {self.address} was opened without a cache folder")
        return self._cache / name if name else self._cache

    def _fetched(self, name: str) -> Path:
        local = self._store.local_path(name)
        if local is None:
            local = self._cached(name)
            if not local.exists():
                with writing(local):
                    local.parent.mkdir(parents=True, exist_ok=True)
                    self._store.fetch(name, local)
        return local

    def _check(self, path: Path, entry: FileEntry) -> None:
        """Compare the size always, and once the content of what came over a network; a wrong copy is not kept."""
        is_copy = self._store.local_path(entry.path) is None
        if not path.is_file() or path.stat().st_size != entry.bytes:
            problem = f"is missing or not {entry.bytes:,} bytes long, as its manifest says"
        elif is_copy and entry.path not in self._checked and describe_file(path, entry.path) != entry:
            problem = "differs from its manifest"
        else:
            self._checked.add(entry.path)
            return
        if is_copy and path.is_file():
            path.unlink()
        raise DataError(f"{self.address}/{entry.path} {problem}; delete that output and run again")


class Target:
    """What a stage writes: a folder that is published, whole, when the stage returns.

    `parts` is where the stage may keep parts of its work between runs; None outside a store.
    """

    def __init__(self, folder: Path, *, parts: Parts | None = None) -> None:
        self.folder = folder
        self.rows: int | None = None
        self.parts = parts

    def path(self, name: str) -> Path:
        """Give the path of a file to write, with its folder made."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def metric(self, key: str, value: float, *, step: int = 0) -> None:
        """Record a number for MLflow and the report; kept in the store, replayed to MLflow by `register`."""
        line = json.dumps({"key": key, "value": float(value), "step": step, "timestamp_ms": int(time.time() * 1000)})
        with self.path(METRICS_FILE).open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")

    @property
    def written(self) -> bool:
        """Say whether the stage wrote anything besides metrics."""
        return any(path.is_file() and path.name != METRICS_FILE for path in self.folder.rglob("*"))


def listing(files: tuple[FileEntry, ...], limit: int = 8) -> str:
    """Name the first files, and say how many more there are."""
    names = [entry.path for entry in files]
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
