"""Which benchmark items are scored."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from med42lib.core.errors import ConfigError, DataError, Problem
from med42lib.evaluate.config import AskingConfig
from med42lib.formats.item_counts import read_item_counts
from med42lib.formats.item_limit import limited
from med42lib.formats.records import ITEMS_FILE, BenchmarkItem, read_items
from med42lib.store.artifacts import Source


def read_chosen(items: Source, config: AskingConfig) -> list[BenchmarkItem]:
    """Read the items to score from what `benchmarks` put out; errors as in `choose_items`."""
    absent = [name for name, row in read_item_counts(items).items() if "absent" in row]
    return choose_items(read_items(items.path(ITEMS_FILE).parent), config, absent=absent)


def choose_items(
    items: Iterable[BenchmarkItem], config: AskingConfig, *, absent: Collection[str] = ()
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
        if not _can_be_scored(item):
            raise DataError(f"item {item.id!r} has an empty option, or no option {item.gold}; run benchmarks again")
    if not found:
        raise DataError("there is no benchmark item to score; give `benchmarks` at least one file with questions")
    _check_names(config, {item.benchmark for item in found} | set(absent))
    by_benchmark = [[item for item in found if item.benchmark == name] for name in {item.benchmark for item in found}]
    kept = {item.id for items_of_one in by_benchmark for item in limited(items_of_one, config.limit)}
    return [item for item in found if item.id in kept]


def _can_be_scored(item: BenchmarkItem) -> bool:
    if item.gold is None:
        return item.generation is not None and not item.options
    return all(item.options) and 0 <= item.gold < len(item.options)


def _check_names(config: AskingConfig, known: set[str]) -> None:
    problems = [
        Problem(f"evaluate.benchmarks.{name}", f"no item is of this benchmark; there are {', '.join(sorted(known))}")
        for name in config.benchmarks
        if name not in known
    ]
    if problems:
        raise ConfigError("evaluate", problems)
