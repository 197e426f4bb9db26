"""The names of all training sources: one per module in `sources`."""

from __future__ import annotations

from pathlib import Path

from med42lib.core.names import known_name, module_names

_FOLDER = Path(__file__).parent / "sources"


def source_names() -> list[str]:
    """List the known sources, sorted."""
    return module_names(_FOLDER)


def known_source(name: str) -> str:
    """Take a source's name, or raise ValueError with those there are."""
    return known_name(name, source_names(), "source")
