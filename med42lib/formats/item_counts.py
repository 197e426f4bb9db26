"""What became of each benchmark's questions, as `benchmarks` counted them beside the items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from med42lib.core.errors import DataError
from med42lib.core.json_file import read_json
from med42lib.store.artifacts import Source

ITEMS_SUMMARY_FILE = "summary.json"
"""Counts by benchmark, beside the items; a benchmark whose files the user has not brought is `absent` there."""

ItemCounts = Mapping[str, Any]
"""`read` questions, of these `rejected` and `excluded` (each also `_by_reason`), `usable` ones, and `items` taken."""


def read_item_counts(items: Source) -> dict[str, ItemCounts]:
    """Read the counts by benchmark; none if the items have no such file.

    Raises:
        DataError: If the file is broken.
    """
    if not items.has(ITEMS_SUMMARY_FILE):
        return {}
    path = items.path(ITEMS_SUMMARY_FILE)
    counts = read_json(path, "run benchmarks again")
    if not all(isinstance(row, dict) for row in counts.values()):
        raise DataError(f"{path} is not the summary of benchmark items; run benchmarks again")
    return dict(counts)
