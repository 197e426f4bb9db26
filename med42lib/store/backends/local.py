"""A store in a folder: of this machine, or of a volume that several share."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from med42lib.core.errors import DataError
from med42lib.store.base import StoredFile
from med42lib.store.disk import make_folder, read_errors, write_errors
from med42lib.store.names import inside
from med42lib.store.scratch import scratch_beside

_BLOCK_BYTES = 1 << 20
# A file system's clock ticks in steps of up to two seconds; a change within one step does not show.
SECONDS_UNTIL_SETTLED = 2.0
_HUB_SNAPSHOT = re.compile(r"(.*/(?:models|datasets|spaces)--[^/]+)/snapshots/[^/]+(?:/.*)?")
_GONE_OR_FILLED_MEANWHILE = (errno.ENOENT, errno.ENOTEMPTY)
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class LocalStore:
    """A folder and all below it."""

    def __init__(self, address: str, root: Path) -> None:
        self.address = address
        self._root = root.absolute()

    def check(self) -> None:
        """Create the folder if need be."""
        with write_errors(self._root):
            make_folder(self._root)
            if not os.access(self._root, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def files(self, prefix: str = "") -> dict[str, StoredFile]:
        """List the files below a prefix; symbolic links may lead to other files of the folder only."""
        start = self._path(prefix)
        with read_errors(start):
            return self._listed(start, prefix)

    def _listed(self, start: Path, prefix: str) -> dict[str, StoredFile]:
        if not prefix and not start.exists():
            raise DataError(f"{start} does not exist; check the address")
        if start.is_file():
            return {self._file_name(prefix): _stored(start)}
        found = {}
        for path in self._walk(start):
            with suppress(FileNotFoundError):  # an attempt that lost removes its own
                found[_text(path.relative_to(self._root))] = _stored(path)
        return dict(sorted(found.items()))

    def _file_name(self, prefix: str) -> str:
        if not prefix:
            raise DataError(f"{self._root} is a file; give the address of the folder that holds it")
        return prefix

    def _walk(self, start: Path) -> Iterator[Path]:
        for folder, folders, names in os.walk(start, onerror=_unreadable):
            # Made by whoever imports a package, and different on each machine.
            folders[:] = [name for name in folders if name != "__pycache__"]
            for path in (Path(folder, name) for name in [*folders, *names]):
                if path.is_symlink():
                    self._path(path.relative_to(self._root).as_posix())
                    if not path.exists():
                        raise DataError(f"{path} is a symbolic link to nothing; fetch the file or remove the link")
                if path.is_file():
                    yield path

    def read(self, name: str) -> bytes | None:
        """Read a small file; None if there is none."""
        path = self._path(name)
        try:
            with read_errors(path):
                return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def blocks(self, name: str) -> Iterator[bytes]:
        """Read a file in blocks of 1 MiB."""
        path = self._path(name)
        with read_errors(path), path.open("rb") as stream:
            while block := stream.read(_BLOCK_BYTES):
                yield block

    def local_path(self, name: str) -> Path:
        """Say where the file lies."""
        return self._path(name)

    def fetch(self, name: str, path: Path) -> None:
        """Copy a file."""
        with write_errors(path):
            shutil.copyfile(self._path(name), path)

    def scratch_root(self) -> Path:
        """Prepare outputs beside the finished ones, so that putting them is a rename; each user has a folder."""
        return scratch_beside(self._root)

    def put(self, name: str, path: Path) -> None:
        """Move a file into place: by a rename, or from another disk by a copy that is renamed.

        Its content is written out before a seal, which is too, can say that it is there: a power cut would leave the
        seal, and empty files.
        """
        final = self._path(name)
        with write_errors(final):
            try:
                self._moved(path, final)
            except FileNotFoundError:  # somebody removed the folder of an attempt that had lost
                self._moved(path, final)
            with suppress(FileNotFoundError), final.open("rb") as stream:  # it may be gone again
                os.fsync(stream.fileno())

    def put_once(self, name: str, content: bytes) -> bool:
        """Write a file beside its place and link it there, which fails where one is."""
        final = self._path(name)
        with write_errors(final):
            try:
                return _put_new(final, content)
            except FileNotFoundError:  # somebody removed the folder, as in `put`
                return _put_new(final, content)

    def delete(self, prefix: str) -> None:
        """Remove a file or folder."""
        path = self._path(prefix)
        with write_errors(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, onerror=_pass_over_what_others_do)
            else:
                path.unlink(missing_ok=True)

    def _moved(self, path: Path, final: Path) -> None:
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.replace(final)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            own = final.with_name(f"{uuid.uuid4().hex}.part")
            shutil.copyfile(path, own)
            own.replace(final)

    def _path(self, name: str) -> Path:
        return inside(self._root, name, also=_hub_blobs(self._root))


def _hub_blobs(root: Path) -> tuple[Path, ...]:
    """Name the folder that a snapshot of a hub's cache links into; none for other folders.

    `hf download` prints such a snapshot: .../models--owner--name/snapshots/<commit>, whose files are links to
    .../models--owner--name/blobs/<hash>.
    """
    match = _HUB_SNAPSHOT.fullmatch(os.path.realpath(root))
    return (Path(match[1], "blobs"),) if match else ()


def _stored(path: Path) -> StoredFile:
    # Nobody can set ctime; unpacking an archive, or `cp -p`, gives a new file an old mtime.
    stat = path.stat()
    settled = time.time() - stat.st_ctime > SECONDS_UNTIL_SETTLED
    return StoredFile(stat.st_size, f"{stat.st_ctime_ns}-{stat.st_ino}", stat.st_ctime, settled)


def _unreadable(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _text(path: Path) -> str:
    name = path.as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(f"the file name {os.fsencode(name)!r} is not UTF-8; rename the file") from None
    return name


def _pass_over_what_others_do(_: object, path: str, error: tuple[type[BaseException], BaseException, object]) -> None:
    """Let a removal go on where another one was faster, or where something was put meanwhile, which stays."""
    if getattr(error[1], "errno", None) not in _GONE_OR_FILLED_MEANWHILE:
        raise error[1]


def _put_new(final: Path, content: bytes) -> bool:
    own = final.with_name(f"{uuid.uuid4().hex}.part")
    final.parent.mkdir(parents=True, exist_ok=True)
    try:
        _write_durably(own, content)
        return _linked(own, final, content)
    finally:
        own.unlink(missing_ok=True)


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _linked(own: Path, final: Path, content: bytes) -> bool:
    try:
        os.link(own, final)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        return _written_if_new(final, content)
    return True


def _written_if_new(path: Path, content: bytes) -> bool:
    """Write a file where the file system has no hard links. A kill in between leaves it empty, but never two of it."""
    try:
        with path.open("xb") as stream:
            stream.write(content)
    except FileExistsError:
        return False
    return True
