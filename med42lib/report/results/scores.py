"""The models' answers to the same questions, joined by the item's id.

Shape key:
    N: scored items, in the score files' common order
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from med42lib.core.errors import DataError
from med42lib.formats.records import BenchmarkItem
from med42lib.formats.scores import ADVICE, Score, read_scores

SUBSETS = ("all", "clean", "contaminated")


@dataclass(frozen=True, slots=True)
class Answers:
    """Which of N items each training answered right, and which items have a close match in the training mixture.

    `trainings` names those of each model, the base among them; without it each is a model of its own.
    `truncated` says which items' beginning a model did not read. Items of equal numbers in `group` belong together;
    without it each is for itself. `loglikelihoods` are each training's, of every item's options, if it has any.
    """

    item_ids: tuple[str, ...]
    benchmark: NDArray[np.str_]
    contaminated: NDArray[np.bool_]
    correct: Mapping[str, NDArray[np.bool_]]
    truncated: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    group: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    trainings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    loglikelihoods: Mapping[str, Sequence[tuple[float, ...]]] = field(default_factory=dict)

    @property
    def models(self) -> tuple[str, ...]:
        """Name the models."""
        return tuple(self.trainings or self.correct)

    def runs(self, model: str) -> NDArray[np.bool_]:
        """Mark what each training of a model answered right, shape (trainings, N)."""
        return np.stack([self.correct[name] for name in self.trainings.get(model, (model,))])

    def right(self, model: str) -> NDArray[np.float64]:
        """Give the share of a model's trainings that answered each item right, shape (N,)."""
        shares_N: NDArray[np.float64] = self.runs(model).mean(axis=0)
        return shares_N

    @property
    def clusters(self) -> NDArray[np.int64]:
        """Number the clusters of items that belong together from 0, shape (N,)."""
        return self.group if len(self.group) else np.arange(len(self.item_ids))

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Name the benchmarks in the order in which they first occur."""
        return tuple(dict.fromkeys(self.benchmark.tolist()))

    def parts(self, selected_N: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Number the benchmarks of the selected items from 0, one number for each of these items."""
        return np.unique(self.benchmark[selected_N], return_inverse=True)[1]

    def selected(self, benchmarks: tuple[str, ...], subset: str) -> NDArray[np.bool_]:
        """Mark the items of some benchmarks and one of `SUBSETS`, shape (N,)."""
        chosen_N = np.isin(self.benchmark, benchmarks)
        if subset == "clean":
            return chosen_N & ~self.contaminated
        return chosen_N & self.contaminated if subset == "contaminated" else chosen_N


def join_answers(
    files: Mapping[str, Path], items: Mapping[str, BenchmarkItem], contaminated: Mapping[str, float]
) -> Answers:
    """Read one score file for each model and join them by item.

    Args:
        files: Path of each model's `scores.jsonl`.
        items: Every benchmark item by its id; the scored ones may be fewer.
        contaminated: Highest cosine of each flagged item, by id; flagged items that were not scored are ignored.

    Raises:
        DataError: If the files do not hold the same items in the same order, if an id is unknown or occurs
            twice, or if a row is broken or does not fit its item.
    """
    rows = {model: list(_read_rows(path, items)) for model, path in files.items()}
    first_model = next(iter(rows))
    for model in rows:
        _check_same_items(files[first_model], rows[first_model], files[model], rows[model])
    reference = rows[first_model]
    _check_known(contaminated, items)
    return Answers(
        item_ids=tuple(row.item_id for row in reference),
        benchmark=np.array([row.benchmark for row in reference], dtype=np.str_),
        contaminated=np.array([row.item_id in contaminated for row in reference], dtype=np.bool_),
        correct={model: np.array([row.correct for row in found], dtype=np.bool_) for model, found in rows.items()},
        truncated={model: np.array([row.truncated for row in found], dtype=np.bool_) for model, found in rows.items()},
        loglikelihoods={model: [row.loglikelihoods for row in found] for model, found in rows.items()},
    )


def _read_rows(path: Path, items: Mapping[str, BenchmarkItem]) -> Iterator[Score]:
    seen: set[str] = set()
    for where, row in read_scores(path):
        _check_fits(row, items, where)
        if row.item_id in seen:
            raise DataError(f"{where}: item {row.item_id!r} occurs twice; {ADVICE}")
        seen.add(row.item_id)
        yield row
    if not seen:
        raise DataError(f"{path} holds no scored item; run evaluate again with at least one item")


def _check_fits(row: Score, items: Mapping[str, BenchmarkItem], where: str) -> None:
    item = items.get(row.item_id)
    if item is None:
        raise DataError(f"{where}: item {row.item_id!r} is not among the {len(items):,} benchmark items")
    if (row.benchmark, row.gold) != (item.benchmark, item.gold):
        raise DataError(
            f"{where}: item {row.item_id!r} was scored as {row.benchmark!r} with answer {row.gold}, but the items "
            f"say {item.benchmark!r} with answer {item.gold}; evaluate and report must read the same items"
        )
    if len(row.loglikelihoods) != len(item.options):
        raise DataError(
            f"{where}: item {row.item_id!r} has {len(row.loglikelihoods)} log-likelihoods, but {len(item.options)} "
            f"options; {ADVICE}"
        )
    if (row.generated is None) != (item.generation is None):
        raise DataError(
            f"{where}: item {row.item_id!r} was chosen where it is to be written, or the other way; {ADVICE}"
        )
    if item.generation is None and row.correct != (row.prediction in item.right):
        raise DataError(
            f"{where}: item {row.item_id!r} has prediction {row.prediction} and 'correct' {str(row.correct).lower()}, "
            f"but right is {' or '.join(map(str, item.right))}; {ADVICE}"
        )


def _check_same_items(path: Path, rows: list[Score], other_path: Path, other_rows: list[Score]) -> None:
    for number, (row, other) in enumerate(zip(rows, other_rows, strict=False), start=1):
        if row.item_id != other.item_id:
            raise DataError(
                f"row {number} is item {row.item_id!r} in {path} but {other.item_id!r} in {other_path}; all models "
                "must be scored on the same items in the same order: run evaluate for all of them again"
            )
    if len(rows) != len(other_rows):
        raise DataError(
            f"{path} holds {len(rows):,} items but {other_path} holds {len(other_rows):,}; the first "
            f"{min(len(rows), len(other_rows)):,} agree: run evaluate for all models again"
        )


def _check_known(contaminated: Mapping[str, float], items: Mapping[str, BenchmarkItem]) -> None:
    for item_id in contaminated:
        if item_id not in items:
            raise DataError(
                f"the contaminated item {item_id!r} is not among the {len(items):,} benchmark items; decontaminate "
                "and report must read the same items"
            )
