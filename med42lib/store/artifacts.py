"""The two ends of an edge between stages: a `Source` is read, a `Target` is written; `Sources` are several by name.

To a stage both are folders. Whether a source has to be downloaded first, and where a target goes when the stage
is done, is the runner's business.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from threading import Event
from typing import Any

from med42lib.core.errors import DataError
from med42lib.core.progress import progress
from med42lib.store.address import open_store
from med42lib.store.base import Store, StoredFile
from med42lib.store.disk import write_errors
from med42lib.store.identity import HashCache
from med42lib.store.manifest import (
    MANIFEST_FILE,
    METRICS_FILE,
    FileEntry,
    Manifest,
    describe_folder,
    files_digest,
    has_content,
    in_threads,
)
from med42lib.store.metrics import MetricPoint, Metrics, MetricSink
from med42lib.store.names import checked_name, inside
from med42lib.store.scratch import ANOTHER_PLACE

_TIMES_FETCHED = 2


class Source:
    """What a stage reads: the finished output of another stage, or a folder of the user's.

    Files of a remote source are fetched on first use. What a manifest lists is compared with it before it is read:
    size and content, the latter once, and again only where the file may have changed.
    """

    def __init__(
        self,
        address: str,
        *,
        cache: Path | None = None,
        files: tuple[FileEntry, ...] | None = None,
        hashes: HashCache | None = None,
        listing: Mapping[str, StoredFile] | None = None,
    ) -> None:
        self.address = address
        self._store: Store = open_store(address)
        self._cache = cache
        self._hashes = hashes or HashCache()
        self._checked: set[str] = set()
        if files is not None:
            self.files = files
        if listing is not None:
            self._listing = listing

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process with what is known of the files, so that it need not hash them again."""
        return partial(Source, cache=self._cache, files=self.files, listing=self._listed(self.files)), (self.address,)

    def narrowed(self, files: tuple[FileEntry, ...]) -> Source:
        """Give the same source with only these of its files."""
        listing = self._listed(files)
        return Source(self.address, cache=self._cache, files=files, hashes=self._hashes, listing=listing)

    def _listed(self, files: tuple[FileEntry, ...]) -> Mapping[str, StoredFile] | None:
        """Give what a listing said of these files; None if a manifest names them, or nothing has."""
        listing: Mapping[str, StoredFile] | None = vars(self).get("_listing")
        return listing and {entry.path: listing[entry.path] for entry in files}

    def check_unchanged(self) -> None:
        """Make sure that the files of a user's folder are still those it was named by. Call it when all is read.

        Raises:
            DataError: If one was changed or removed meanwhile.
        """
        listing = self._listed(self.files)
        if not listing or all(file.content for file in listing.values()):  # a hub's revision cannot change
            return
        now = self._store.files(posixpath.commonpath(listing))
        for name, file in listing.items():
            if name not in now or (now[name].bytes, now[name].version) != (file.bytes, file.version):
                raise self._changed(name)

    def _changed(self, name: str) -> DataError:
        return DataError(
            f"{self.address}/{name} changed while it was read; run again when nothing writes there any more"
        )

    @cached_property
    def manifest(self) -> Manifest | None:
        """The manifest, or None for a folder of the user's."""
        content = self._store.read(MANIFEST_FILE)
        return None if content is None else Manifest.from_json(content, where=f"{self.address}/{MANIFEST_FILE}")

    @cached_property
    def files(self) -> tuple[FileEntry, ...]:
        """Every file with size and sha256: from the manifest, or by hashing what is new in a folder of the user's.

        Raises:
            DataError: If there is nothing at the address.
        """
        if self.manifest is not None:
            return self.manifest.files
        return self._hashes.entries(self._store, self._listing)

    @cached_property
    def _listing(self) -> Mapping[str, StoredFile]:
        found = self._store.files()
        if not found:
            raise DataError(f"{self.address} holds no files; check the address")
        return found

    def sizes(self) -> dict[str, int]:
        """Give every file's size in bytes, by name; no file is read for it.

        Raises:
            DataError: If there is nothing at the address.
        """
        if "files" in vars(self) or self.manifest is not None:
            return {entry.path: entry.bytes for entry in self.files}
        return {name: file.bytes for name, file in self._listing.items()}

    @property
    def digest(self) -> str:
        """The content's name: 64 hexadecimal digits that do not depend on the address."""
        return files_digest(self.files)

    def path(self, name: str = "") -> Path:
        """Give the local path of one file, of a sub-folder, or of everything.

        Raises:
            DataError: If there is nothing of that name, or a file differs from its manifest.
        """
        wanted = self._at(name)
        if not wanted:
            raise self.lacks(name)
        self._check_all(wanted)
        if not self.is_remote and not self.has_file(name):
            self._check_nothing_else(name)
        return self._local(name)

    def paths(self, names: Sequence[str]) -> list[Path]:
        """Give the local paths of several files; what is remote comes several at a time. Errors as in `path`."""
        if absent := [name for name in names if not self.has_file(name)]:
            raise self.lacks(absent[0])
        self._check_all([self._by_name[name] for name in names])
        return [self._local(name) for name in names]

    def remember_shared(self, written: Iterable[FileEntry]) -> None:
        """Remember the hashes of files that were linked into an output, which changed the time they are known by.

        Args:
            written: The output's files, hashed since.
        """
        hashes = {entry.sha256 for entry in written}
        shared = [entry for name in self._checked if (entry := self._by_name[name]).sha256 in hashes]
        if shared and self.manifest is not None:
            self._hashes.remember(self._store, shared)

    def lacks(self, name: str) -> DataError:
        """Make the error that nothing is of this name, with what is there instead."""
        return DataError(f"{self.address} has no {name!r}; it has {listing(self.files)}")

    def reach(self, name: str) -> Path:
        """Give the local path of one file, fetched if need be; neither it nor any other is hashed or checked.

        Raises:
            DataError: If there is no such file.
            StoreError, AccessError, StoreUnavailable: If the place cannot be reached.
        """
        path = self._local(name)
        if self.is_remote and not path.exists():
            self._fetch(name)
        if not path.is_file():
            raise DataError(f"{self.address} has no file {name}")
        return path

    def drop(self, name: str) -> None:
        """Remove the copy of a file that was fetched; one that was not lies where it is somebody's own, and stays."""
        if self.is_remote:
            self._local(name).unlink(missing_ok=True)
            self._checked.discard(name)

    def has(self, name: str) -> bool:
        """Say whether there is a file or sub-folder of this name, without fetching it; no name is the whole."""
        return bool(self._at(name))

    def has_file(self, name: str) -> bool:
        """Say whether there is a file, not a sub-folder, of this name."""
        return name in self._by_name

    def metrics(self) -> Iterator[MetricPoint]:
        """Read what the stage logged with `Target.metric`, in order."""
        if self.has(METRICS_FILE):
            yield from Metrics(self.path(METRICS_FILE)).points()

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

    @cached_property
    def is_remote(self) -> bool:
        """Say whether files have to be fetched, and do not lie where they are somebody's own."""
        return self._store.local_path("") is None

    def _local(self, name: str) -> Path:
        """Say where a file or folder lies on this machine, or will once it is fetched."""
        if not self.is_remote:
            local = self._store.local_path(name)
            assert local is not None
            return local
        if self._cache is None:
            raise AssertionError(f"the remote source {self.address} was opened without a cache folder")
        return self._cache / checked_name(name, where=self.address) if name else self._cache

    def _fetch(self, name: str) -> None:
        path = self._local(name)
        with write_errors(path, instead=ANOTHER_PLACE):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._store.fetch(name, path)

    def _check_all(self, entries: Iterable[FileEntry]) -> None:
        """Make sure of files that were not asked for before. Remote ones are fetched, and their copies hashed."""
        unchecked = {entry.path: entry for entry in entries if entry.path not in self._checked}
        if not self.is_remote:
            for entry in unchecked.values():
                self._check(entry)
        elif unchecked:
            num_bytes = sum(entry.bytes for entry in unchecked.values())
            with progress(f"fetch {self.address}", num_bytes, unit="B") as bar:

                def checked(name: str, _: Event) -> None:
                    self._check(unchecked[name])
                    bar.advance(unchecked[name].bytes)

                in_threads(checked, list(unchecked))
        self._checked.update(unchecked)

    def _check(self, entry: FileEntry) -> None:
        """Make sure that a file is what it is said to be. A copy left by an earlier run may be another; it goes.

        So does one that the client of a hub keeps for all programs: there a download that broke off may lie for ever.
        What comes wrong over a network comes once more: a bit may be lost on the way.
        """
        path = self._local(entry.path)
        problem = self._problem(path, entry)
        for _ in range(_TIMES_FETCHED):
            if problem and self.is_remote:
                problem = self._problem_when_fetched(path, entry)
        if not problem:
            return
        if self.is_remote:
            path.unlink(missing_ok=True)
        if self.manifest is not None:
            raise DataError(f"{self.address}/{entry.path} {problem}; delete {self.address} and run again")
        raise self._other_than_promised(entry.path) if self._listing[entry.path].content else self._changed(entry.path)

    def _problem_when_fetched(self, path: Path, entry: FileEntry) -> str:
        if path.is_symlink():
            path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        self._fetch(entry.path)
        return self._problem(path, entry)

    def _problem(self, path: Path, entry: FileEntry) -> str:
        """Say how a file is not what it is said to be; empty if it is."""
        if not path.is_file() or path.stat().st_size != entry.bytes:
            return f"is missing or not {entry.bytes:,} bytes long, as its manifest says"
        return "" if self._is_as_listed(path, entry) else "differs from its manifest"

    def _other_than_promised(self, name: str) -> DataError:
        return DataError(
            f"{self.address}/{name} was fetched twice and is not what the hub's list says; run again, and if it stays "
            "so, see to the mirror that HF_ENDPOINT names"
        )

    def _check_nothing_else(self, name: str) -> None:
        """Make sure that a whole folder holds no more than its manifest says: libraries read whatever is there."""
        if self.manifest is None:
            return
        listed = {MANIFEST_FILE, *(entry.path for entry in self.manifest.files)}
        if unlisted := [found for found in self._store.files(name) if found not in listed]:
            raise DataError(f"{self.address} holds {unlisted[0]}, which its manifest does not list; remove that file")

    def _is_as_listed(self, path: Path, entry: FileEntry) -> bool:
        if self.is_remote:
            return has_content(path, entry.sha256)
        if self.manifest is None:  # the file was hashed where it lies
            return True
        [found] = self._hashes.entries(self._store, self._store.files(entry.path))
        return found.sha256 == entry.sha256


Sources = Mapping[str, Source]
"""An input of which there are as many as a run has models: each by its name, in the names' order."""


class Target:
    """What a stage writes: a folder that is published, whole, when the stage returns."""

    def __init__(self, folder: Path, sinks: Sequence[MetricSink] = ()) -> None:
        self.folder = folder
        self.metrics = Metrics(folder / METRICS_FILE, sinks)
        self.rows: int | None = None
        self.notes = {METRICS_FILE}
        self.elsewhere: tuple[FileEntry, ...] = ()

    def received(self, entries: Iterable[FileEntry]) -> None:
        """Count files as parts of the output that other processes have put into the store (`StageContext.upload`)."""
        self.elsewhere += tuple(entries)

    def files(self) -> tuple[FileEntry, ...]:
        """Describe all files of the output, sorted: those in the folder, and those that other processes put."""
        here = describe_folder(self.folder, self.notes)
        return tuple(sorted((*here, *self.elsewhere), key=lambda entry: entry.path))

    def path(self, name: str, *, note: bool = False) -> Path:
        """Give the path of a file to write, with its folder made.

        Args:
            name: Relative, with forward slashes.
            note: True for what people read, or what holds times: a change of it makes nothing again.

        Raises:
            DataError: If the name does not stay in the folder.
        """
        path = inside(self.folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if note:
            self.notes.add(name)
        return path

    def metric(self, key: str, value: float, *, step: int = 0) -> None:
        """Record a number for MLflow and the report; kept in the store, replayed to MLflow by `register`."""
        self.log_metrics({key: value}, step=step)

    def log_metrics(self, values: Mapping[str, float], *, step: int) -> None:
        """Record several numbers of one step at once."""
        self.metrics.log(values, step=step)

    @property
    def written(self) -> bool:
        """Say whether the stage wrote anything besides metrics."""
        here = any(path.is_file() and path.name != METRICS_FILE for path in self.folder.rglob("*"))
        return here or any(entry.path != METRICS_FILE for entry in self.elsewhere)


def give_usual_modes(folder: Path) -> None:
    """Give files the modes that new files get here: safetensors writes files that only their owner can read.

    A file that is somebody else's too, by a hard link to another output or into a hub's cache, stays as it is.
    """
    umask = os.umask(0o077)
    os.umask(umask)
    mode = 0o666 & ~umask
    for path in filter(Path.is_file, folder.rglob("*")):
        if path.stat().st_nlink == 1:
            path.chmod(mode)


def listing(files: tuple[FileEntry, ...], limit: int = 8) -> str:
    """Name the first files, and say how many more there are."""
    names = [entry.path for entry in files]
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
