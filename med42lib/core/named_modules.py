"""Modules found by their name: adding a training source or a benchmark is adding a file to a folder."""

from __future__ import annotations

import difflib
import pkgutil
from collections.abc import Sequence
from pathlib import Path


def module_names(folder: Path) -> list[str]:
    """List the modules of a package's folder, sorted, without importing one of them."""
    return sorted(module.name for module in pkgutil.iter_modules([str(folder)]))


def known_name(name: str, names: Sequence[str], kind: str) -> str:
    """Take a name if it is among `names`.

    Raises:
        ValueError: If it is not; the message has the nearest and lists all.
    """
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}? There" if near else "there"
    raise ValueError(f"is not a known {kind}; {hint} are: {', '.join(names)}")
