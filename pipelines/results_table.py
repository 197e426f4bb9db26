"""The report's first table, for a terminal."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence

from med42lib.core.excerpts import cut
from med42lib.core.printable import one_line

SUBSETS = ("all", "clean")
Cells = Mapping[tuple[str, str], Mapping[str, str]]


def results_table(results_csv: str) -> str:
    """Write accuracy in percent per benchmark and model, for all questions and for those without a leak.

    Args:
        results_csv: Content of the report's `results.csv`; an accuracy is empty where nothing was asked.
    """
    rows: dict[str, dict[tuple[str, str], dict[str, str]]] = defaultdict(dict)
    for row in csv.DictReader(io.StringIO(results_csv)):
        rows[row["benchmark"]][row["subset"], row["model"]] = row
    models = list(dict.fromkeys(model for cells in rows.values() for _, model in cells))
    heading = f"{'accuracy, %':<30}" + "".join(f"{subset:>8}" + _models(models, models) for subset in SUBSETS)
    return "\n".join([heading, *(_line(benchmark, models, cells) for benchmark, cells in rows.items())])


def _line(benchmark: str, models: Sequence[str], cells: Cells) -> str:
    return f"{cut(one_line(benchmark), 29):<30}" + "".join(_subset(cells, subset, models) for subset in SUBSETS)


def _subset(cells: Cells, subset: str, models: Sequence[str]) -> str:
    found = [cells[subset, model] for model in models]
    return f"{int(found[0]['n']):>8,}" + _models(models, [_percent(cell["accuracy"]) for cell in found])


def _percent(accuracy: str) -> str:
    return f"{100 * float(accuracy):.1f}" if accuracy else "–"


def _models(models: Sequence[str], texts: Sequence[str]) -> str:
    return "".join(f"{text:>{max(7, len(model) + 2)}}" for model, text in zip(models, texts, strict=True))
