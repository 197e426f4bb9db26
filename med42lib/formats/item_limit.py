"""How many items of each benchmark are kept, or scored, and which: `benchmarks` and `evaluate` choose alike."""

from __future__ import annotations

from collections.abc import Sequence

from med42lib.core.config import CountOrAll
from med42lib.core.sampling import DEFAULT_SEED, sample_by_hash
from med42lib.formats.records import BenchmarkItem


def limited(items: Sequence[BenchmarkItem], limit: CountOrAll, *, seed: int = DEFAULT_SEED) -> list[BenchmarkItem]:
    """Keep at most `limit` items, chosen by a keyed hash of their ids, in their given order."""
    if limit == "all":
        return list(items)
    chosen = {item.id for item in sample_by_hash(items, limit, seed=seed, id=lambda item: item.id)}
    return [item for item in items if item.id in chosen]
