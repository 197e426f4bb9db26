"""A folder for each attempt at something, taken away with the attempt, however that ended."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from med42lib.core.errors import StoreError
from med42lib.store.disk import write_errors

_LOCK = ".med42-lock"  # a folder with a `.lock` may be anybody's: uv writes one into each environment
SCRATCH_VARIABLE = "MED42_SCRATCH"
ANOTHER_PLACE = f"choose a {SCRATCH_VARIABLE}, or a --store, that you may write to"
"""What to do where scratch cannot be written: it is in a folder store itself, else where the variable says."""


def machine_scratch() -> Path:
    """Name this user's own scratch folder on this machine, below $MED42_SCRATCH or the system's temporary folder."""
    return Path(os.environ.get(SCRATCH_VARIABLE) or tempfile.gettempdir(), f"med42-{os.getuid()}")


def scratch_beside(folder: Path) -> Path:
    """Name this user's own scratch folder in a folder of finished things, into which a rename then moves them."""
    return folder / f".scratch-{os.getuid()}"


@contextmanager
def attempt_folder(root: Path, label: str) -> Iterator[Path]:
    """Give a fresh folder below `root`, removed at the end; leftovers of killed attempts are removed first.

    An attempt holds a lock on its folder as long as its process lives, so that the folder of a killed one
    can be told from that of one at work, and two attempts never share one.

    Raises:
        StoreError: If `root` is not this user's own folder, or cannot be written.
        NoSpaceError: If the disk is full.
    """
    with write_errors(root, instead=ANOTHER_PLACE):
        _own(root)
        remove_abandoned(root)
        folder = Path(tempfile.mkdtemp(prefix=f"{label}-", dir=root))
        lock = _lock(folder)
    try:
        yield folder
    finally:
        _remove(folder)
        os.close(lock)


def remove_abandoned(root: Path) -> list[Path]:
    """Remove the folders below `root` whose process is gone; returns them."""
    abandoned = [folder for folder in root.iterdir() if _is_abandoned(folder)]
    for folder in abandoned:
        _remove(folder)
    return abandoned


def _remove(folder: Path) -> None:
    """Remove an attempt's folder, the lock last: it is what tells a later attempt that this may be removed."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _LOCK:
                path.unlink(missing_ok=True)
        if [path.name for path in folder.iterdir()] == [_LOCK]:
            shutil.rmtree(folder)


def _own(root: Path) -> None:
    """Make the folder for this user alone, or make sure that nobody else made it: others could lay links in it."""
    root.parent.mkdir(parents=True, exist_ok=True)
    try:
        root.mkdir(mode=0o700)
    except FileExistsError:
        found = root.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != _owner_of_new_files(root):
            raise StoreError(
                f"the scratch folder {root} is a link, no folder, or somebody else's (user {found.st_uid}); remove it, "
                f"or set {SCRATCH_VARIABLE} to another folder"
            ) from None
        # As it is but for others' rights: in a team's folder the set-group-ID bit gives its files the team's group.
        root.chmod(stat.S_IMODE(found.st_mode) & ~0o077)


def _owner_of_new_files(folder: Path) -> int:
    """Find out as whom this process writes there: some network volumes give all files to one user."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        return os.stat(made).st_uid


def _is_abandoned(folder: Path) -> bool:
    return not folder.is_symlink() and (folder / _LOCK).exists() and not _locked(folder)


def _lock(folder: Path) -> int:
    # It gets its name when it is locked: another attempt would take a folder with an unlocked one for abandoned.
    lock = os.open(folder / f"{_LOCK}.new", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.rename(folder / f"{_LOCK}.new", folder / _LOCK)
    return lock


def _locked(folder: Path) -> bool:
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:  # gone meanwhile, or a link that is none of ours
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
