"""Names that a user gives: which there are, and which was meant."""

from __future__ import annotations

import difflib
import pkgutil
from collections.abc import Sequence
from pathlib import Path


def module_names(folder: Path) -> list[str]:
    """List the modules of a folder that have no leading underscore, sorted; none is imported.

    So adding a training source or a benchmark is adding a file to a folder.
    """
    modules = pkgutil.iter_modules([str(folder)])
    return sorted(module.name for module in modules if not module.name.startswith("_"))


def known_name(name: str, names: Sequence[str], kind: str) -> str:
    """Take a name if it is among `names`.

    Raises:
        ValueError: If it is not; the message has the nearest and lists all.
    """
    if name in names:
        return name
    hint = did_you_mean(name, names)
    raise ValueError(f"is not a known {kind}; {f'{hint} There' if hint else 'there'} are: {', '.join(names)}")


def did_you_mean(name: str, names: Sequence[str]) -> str:
    """Ask "did you mean 'x'?" with the nearest of the names; empty if none is near."""
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else ""
