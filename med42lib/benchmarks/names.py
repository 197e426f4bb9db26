"""The names of all benchmarks: one per module in `families`."""

from __future__ import annotations

from pathlib import Path

from med42lib.core.names import known_name, module_names

_FOLDER = Path(__file__).parent / "families"


def family_names() -> list[str]:
    """List the known benchmarks, sorted."""
    return module_names(_FOLDER)


def known_family(name: str) -> str:
    """Take a benchmark's name, or raise ValueError with those there are."""
    return known_name(name, family_names(), "benchmark")
