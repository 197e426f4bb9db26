"""A folder for each attempt at a stage, taken away with the attempt, however that ended."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from med42lib.store.store import writing

_LOCK = ".lock"


def machine_scratch() -> Path:
    """Give this user's folder for what need not outlive a process: `MED42_SCRATCH`, or one in the temporary folder."""
    return Path(os.environ.get("MED42_SCRATCH") or Path(tempfile.gettempdir()) / f"med42-{os.getuid()}")


@contextmanager
def attempt_folder(root: Path, label: str) -> Iterator[Path]:
    """Give a fresh folder below `root`, removed at the end; leftovers of killed attempts are removed first.

    An attempt holds a lock on its folder as long as its process lives, so that the folder of a killed one
    can be told from that of one at work, and two attempts never share one.
    """
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
        remove_abandoned(root)
        folder = Path(tempfile.mkdtemp(prefix=f"{label}-", dir=root))
        lock = _lock(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_abandoned(root: Path) -> list[Path]:
    """Remove the folders below `root` whose process is gone; returns them."""
    abandoned = [folder for folder in root.iterdir() if (folder / _LOCK).exists() and not _locked(folder)]
    for folder in abandoned:
        shutil.rmtree(folder, ignore_errors=True)
    return abandoned


def _lock(folder: Path) -> int:
    # It gets its name when it is locked: another attempt would take a folder with an unlocked one for abandoned.
    lock = os.open(folder / f"{_LOCK}.new", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.rename(folder / f"{_LOCK}.new", folder / _LOCK)
    return lock


def _locked(folder: Path) -> bool:
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
