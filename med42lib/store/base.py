"""What every store can do, and what it knows of a file without reading it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

S3_SCHEME = "s3://"
HUB_SCHEME = "hub:"
PACKAGE_SCHEME = "package:"
FILE_SCHEME = "file://"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as a listing shows it.

    `version` changes whenever the content may have changed, and says nothing else: an ETag is not a hash. It is not
    `settled` where the file was written so recently that another change might not show in it. `content` is the
    content's name (`FileEntry.sha256`) where the store knows it, else empty. `modified` is in seconds since 1970.
    """

    bytes: int
    version: str
    modified: float = 0.0
    settled: bool = True
    content: str = ""


class Store(Protocol):
    """Files under one address. Names are relative to it, with forward slashes, and stay below it."""

    address: str

    def check(self) -> None:
        """Make sure, before anything is computed, that outputs can be written and sealed here.

        Raises:
            StoreError, AccessError, StoreUnavailable: If they cannot.
        """

    def files(self, prefix: str = "") -> dict[str, StoredFile]:
        """List the files below `prefix` (or the one file of that name), sorted; no file is read.

        Raises:
            DataError: If a name or a symbolic link leads out of the store.
        """

    def read(self, name: str) -> bytes | None:
        """Read a small file; None if it does not exist."""

    def blocks(self, name: str) -> Iterator[bytes]:
        """Read a file of any size in blocks, keeping none."""

    def local_path(self, name: str) -> Path | None:
        """Say where a file or folder lies on this machine; None if it has to be fetched."""

    def fetch(self, name: str, path: Path) -> None:
        """Copy one file to `path`, whose folder exists."""

    def scratch_root(self) -> Path:
        """Name the folder in which outputs are prepared."""

    def put(self, name: str, path: Path) -> None:
        """Store a file, whole, in place of one of that name; `path` may be gone afterwards."""

    def put_once(self, name: str, content: bytes) -> bool:
        """Store a small file unless one of that name is there; of several callers at most one gets True."""

    def delete(self, prefix: str) -> None:
        """Remove the file of that name, or all below it; what is not there is no error."""
