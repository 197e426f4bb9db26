"""Suggestions for a misspelt name."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def did_you_mean(name: str, names: Sequence[str]) -> str:
    """Ask "did you mean 'x'?" with the nearest of the names; empty if none is near."""
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else ""
