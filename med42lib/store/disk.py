"""A disk that gives or takes no file, as an error that names the place; and a second name for a file on it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from med42lib.core.errors import DataError, StoreError, full_disk

_CANNOT_BE_WRITTEN = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG),
    *(errno.ELOOP, errno.EIO, errno.ESTALE, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP),
)


@contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Turn a file that the system does not give into an error that names the place.

    Raises:
        DataError: If it cannot be read. That it is not there stays FileNotFoundError or NotADirectoryError.
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise DataError(
            f"{error.filename or path} cannot be read: {error.strerror}; check the address and permissions"
        ) from error


@contextmanager
def write_errors(path: Path | str, *, instead: str = "choose a --store you may write to") -> Iterator[None]:
    """Turn a full disk or a forbidden folder into an error that names the place, and says what to do instead.

    Raises:
        NoSpaceError: If the disk or quota is full.
        StoreError: If the place cannot be written.
    """
    try:
        yield
    except OSError as error:
        if no_space := full_disk(error, path):
            raise no_space from error
        if error.errno in _CANNOT_BE_WRITTEN:
            raise StoreError(f"cannot write {path}: {error.strerror}; {instead}") from error
        raise


def link_file(source: Path, target: Path) -> None:
    """Hard-link a file, which takes no space; copy it across file systems and on those without links."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, if need be.

    Raises:
        PermissionError: If that is not allowed, also where the system says so in other words.
        FileExistsError: If it is a file.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:  # below a folder of the system's, /proc or an automounted /home
        raise PermissionError(errno.EACCES, error.strerror) from error
    except FileExistsError as error:
        raise FileExistsError(error.errno, f"{path} is a file, not a folder") from error
