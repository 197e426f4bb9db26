"""Where stages read and write: a folder, an S3 bucket, or data that an installed package carries.

An address is one of

    runs/demo, /data/med       a folder here (`file:///data/med` means the same)
    s3://bucket/prefix         an S3 bucket; endpoint and credentials come from the environment
    package:med42lib/demo/x    files inside an installed Python package, read only
    hub:owner/name@revision    a repository of a model hub at one full revision, read only

A store publishes a whole output or nothing: the manifest becomes visible last.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from med42lib.core.errors import DataError, StoreError, full_disk
from med42lib.store.hub import HUB_SCHEME, HubStore
from med42lib.store.manifest import MANIFEST_FILE, FileEntry

S3_SCHEME = "s3://"
PACKAGE_SCHEME = "package:"
FILE_SCHEME = "file://"


class Store(Protocol):
    """Files under one address. Names are relative to it, with forward slashes."""

    address: str

    def check(self) -> None:
        """Make sure the store can be written; raises StoreError or AccessError if not."""

    def names(self, prefix: str = "") -> list[str]:
        """List the files below `prefix` (or the one file of that name), sorted."""

    def sizes(self) -> dict[str, int]:
        """Give every file's size in bytes, by name, sorted; no file is read."""

    def entries(self) -> tuple[FileEntry, ...] | None:
        """Describe every file, if the store knows their hashes without reading them; None if it does not."""

    def read(self, name: str) -> bytes | None:
        """Read a small file; None if it does not exist."""

    def local_path(self, name: str) -> Path | None:
        """Say where a file or folder lies on this machine; None if it has to be fetched."""

    def fetch(self, name: str, path: Path) -> None:
        """Copy one file to `path`, whose folder exists."""

    def scratch_root(self) -> Path:
        """Name the folder in which outputs are prepared before `publish`."""

    def publish(self, prefix: str, folder: Path, files: Sequence[FileEntry], manifest: str) -> None:
        """Make a prepared folder the output at `prefix`, its manifest last; an existing complete one stays."""


def open_store(address: str) -> Store:
    """Open the store at an address without touching it.

    Raises:
        StoreError: If the address is empty or its scheme is unknown.
        DataError: If a `package:` address names a package that is not installed.
    """
    if address.startswith(S3_SCHEME):
        from med42lib.store.s3 import S3Store

        return S3Store(address)
    if address.startswith(HUB_SCHEME):
        return HubStore(address)
    if address.startswith(PACKAGE_SCHEME):
        return LocalStore(address, _package_folder(address))
    folder = address.removeprefix(FILE_SCHEME)
    if not folder.strip() or ("://" in address and folder == address):
        raise StoreError(
            f"cannot open {address!r}: an address is a folder (. is the working directory), s3://bucket/prefix, "
            "package:name/path or hub:owner/name@revision"
        )
    return LocalStore(address, Path(folder).expanduser())


def join_address(address: str, *parts: str) -> str:
    """Append path parts to an address of any kind."""
    return "/".join([address.rstrip("/"), *parts])


def _package_folder(address: str) -> Path:
    package, _, inside = address.removeprefix(PACKAGE_SCHEME).partition("/")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # a package around it that is not there, or no name at all
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"{address}: the Python package {package!r} is not installed; install it with pip")
    return Path(next(iter(spec.submodule_search_locations))) / inside


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Turn a full disk or a forbidden folder into an error that names the place.

    Raises:
        NoSpaceError: If the disk or quota is full.
        StoreError: If the place cannot be written.
    """
    try:
        yield
    except OSError as error:
        if no_space := full_disk(error, path):
            raise no_space from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise StoreError(f"cannot write {path}: {error.strerror}; choose a --store you may write to") from error
        raise


class LocalStore:
    """A folder. Publishing is one rename, so a half-written output is never visible."""

    def __init__(self, address: str, root: Path) -> None:
        self.address = address
        self._root = root.absolute()

    def check(self) -> None:
        """Create the folder if need be."""
        with writing(self._root):
            self._root.mkdir(parents=True, exist_ok=True)

    def names(self, prefix: str = "") -> list[str]:
        """List files below a prefix; symbolic links that leave the folder are refused.

        Raises:
            DataError: If nothing exists there, or a link points outside.
        """
        start = self._root / prefix
        if start.is_file():
            return [prefix]
        if not start.exists():
            raise DataError(f"{start} does not exist; check the address")
        names = []
        for path in start.rglob("*"):
            if "__pycache__" in path.parts:  # made by whoever imports a package, and different on each machine
                continue
            if path.is_symlink():
                self._check_link(path)
            if path.is_file():
                names.append(_text(path.relative_to(self._root)))
        return sorted(names)

    def sizes(self) -> dict[str, int]:
        """Give every file's size; errors as in `names`."""
        return {name: (self._root / name).stat().st_size for name in self.names()}

    def _check_link(self, path: Path) -> None:
        # Path.resolve raises where links run in a circle.
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(os.path.realpath(self._root)):
            raise DataError(f"{path} is a symbolic link to {real}, outside {self._root}; copy the file in")

    def entries(self) -> None:
        """Know no hashes: files have to be read."""
        return None

    def read(self, name: str) -> bytes | None:
        """Read a small file; None if there is none."""
        try:
            return (self._root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def local_path(self, name: str) -> Path:
        """Say where the file lies."""
        return self._root / name if name else self._root

    def fetch(self, name: str, path: Path) -> None:
        """Copy a file."""
        with writing(path):
            shutil.copyfile(self._root / name, path)

    def scratch_root(self) -> Path:
        """Prepare outputs beside the finished ones, so that publishing is a rename."""
        return self._root / ".scratch"

    def publish(self, prefix: str, folder: Path, files: Sequence[FileEntry], manifest: str) -> None:
        """Write the manifest into the prepared folder and rename the whole into place."""
        final = self._root / prefix
        with writing(final):
            _write_durably(folder / MANIFEST_FILE, manifest)
            final.parent.mkdir(parents=True, exist_ok=True)
            if final.exists() and not (final / MANIFEST_FILE).exists():
                shutil.rmtree(final)
            try:
                folder.rename(final)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                shutil.rmtree(folder)


def _text(path: Path) -> str:
    name = path.as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(f"the file name {os.fsencode(name)!r} is not UTF-8; rename the file") from None
    return name


def _write_durably(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
