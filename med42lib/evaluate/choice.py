"""Which benchmark items are scored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Literal

from med42lib.core.errors import ConfigError, DataError, Problem
from med42lib.core.sampling import DEFAULT_SEED, sample_by_hash
from med42lib.evaluate.config import EvaluateConfig
from med42lib.formats.records import BenchmarkItem


def choose_items(
    items: Iterable[BenchmarkItem], config: EvaluateConfig, *, absent: Collection[str] = ()
) -> list[BenchmarkItem]:
    """Choose the items to score, in their given order.

    Args:
        items: The benchmark items; their ids are unique.
        config: Which of them to score; what it says of benchmarks in `absent` is without effect.
        absent: Benchmarks whose files the user has not brought, so that they have no item.

    Raises:
        DataError: If there are no items, or one cannot be scored.
        ConfigError: If the settings name another benchmark that has no item.
    """
    found = list(items)
    for item in found:
        if not all(item.options) or not 0 <= item.gold < len(item.options):
            raise DataError(f"item {item.id!r} has an empty option, or no option {item.gold}; run benchmarks again")
    if not found:
        raise DataError("there is no benchmark item to score; give `benchmarks` at least one file with questions")
    _check_names(config, {item.benchmark for item in found} | set(absent))
    kept = _chosen_ids(found, config.items_per_benchmark)
    return [item for item in found if item.id in kept]


def _check_names(config: EvaluateConfig, known: set[str]) -> None:
    problems = [
        Problem(f"evaluate.benchmarks.{name}", f"no item is of this benchmark; there are {', '.join(sorted(known))}")
        for name in config.benchmarks
        if name not in known
    ]
    if problems:
        raise ConfigError("evaluate", problems)


def _chosen_ids(items: Iterable[BenchmarkItem], limit: int | Literal["all"]) -> set[str]:
    ids: dict[str, list[str]] = defaultdict(list)
    for item in items:
        ids[item.benchmark].append(item.id)
    return {
        chosen
        for group in ids.values()
        for chosen in (
            group if limit == "all" else sample_by_hash(group, limit, seed=DEFAULT_SEED, id=lambda item_id: item_id)
        )
    }
