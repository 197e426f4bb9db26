"""File names that come from elsewhere: manifests, listings of buckets, indexes of weights, archives.

Whoever writes them may be a stranger, so each goes through `checked_name` before it is joined to anything, and through
`inside` before the file is opened, written or deleted. Nothing else in this project joins such a name to a path.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from med42lib.core.errors import DataError

_SHOWN_CHARACTERS = 200
_NOT_ALLOWED = ("\\", "\0")


def checked_name(name: object, *, where: str) -> str:
    """Return a name that stays in its folder, whatever system it is joined on.

    Allowed are relative names with forward slashes, such as `model/a.safetensors`.

    Args:
        name: What came from elsewhere.
        where: Where it stood, for the message.

    Raises:
        DataError: If it is no text, is absolute, has an empty, `.` or `..` part, a backslash or NUL, or is not UTF-8.
    """
    if isinstance(name, str) and _is_portable(name):
        return name
    raise DataError(
        f"{where} names the file {repr(name)[:_SHOWN_CHARACTERS]}, which does not stay in its folder: expected a "
        "relative name with forward slashes, without empty, '.' or '..' parts; rename or remove it there"
    )


def check_apart(names: Collection[str], *, where: str) -> None:
    """Make sure that no file has a folder's name, as in a bucket one may: both cannot lie in one folder here.

    Raises:
        DataError: If one has.
    """
    folders = {name[:place] for name in names for place, character in enumerate(name) if character == "/"}
    if both := sorted(folders.intersection(names)):
        raise DataError(f"{where} names {both[0]!r} as a file and as a folder; rename or remove one of them there")


def _is_portable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return not any(part in ("", ".", "..") for part in name.split("/")) and not any(c in name for c in _NOT_ALLOWED)


def inside(folder: Path, name: str, *, also: Sequence[Path] = ()) -> Path:
    """Return `folder/name`, or the folder itself for an empty name.

    Args:
        folder: Where it has to stay.
        name: What came from elsewhere.
        also: Real paths of other folders that links may lead into.

    Raises:
        DataError: If the name is none that `checked_name` allows, or symbolic links lead out of the folder.
    """
    if not name:
        return folder
    path = folder / checked_name(name, where=str(folder))
    # Path.resolve raises where links run in a circle.
    real = Path(os.path.realpath(path))
    if not any(real.is_relative_to(root) for root in (Path(os.path.realpath(folder)), *also)):
        raise DataError(f"{path} is a symbolic link to {real}, outside {folder}; copy the file in")
    return path
