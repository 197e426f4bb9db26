"""Modules found by their name: adding a training source or a benchmark is adding a file to a folder."""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from pathlib import Path

from med42lib.core.spelling import did_you_mean


def module_names(folder: Path) -> list[str]:
    """List the modules of a folder that have no leading underscore, sorted; none is imported."""
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
