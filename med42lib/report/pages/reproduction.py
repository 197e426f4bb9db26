"""This run's accuracies beside the paper's Table 1."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from med42lib.formats.models import BASE
from med42lib.formats.written import MISSING, display_name, percent
from med42lib.report.pages.tables import Cell, Column, Table, TableRow, percent_cell
from med42lib.report.provenance.models import FULL, LORA, Model
from med42lib.report.provenance.record import Provenance
from med42lib.report.results.paper import base_by_size
from med42lib.report.results.published import (
    COLUMN_OF_METHOD,
    TABLE_1,
    TABLE_A2_TOTAL,
    PublishedRow,
    rows_of_a2,
)
from med42lib.report.results.table import Accuracy, is_trained_on

Accuracies = Mapping[tuple[str, str, str], Accuracy]
"""By group, model and subset."""

METHODS = (LORA, FULL)
_TITLES = {LORA: "LoRA", FULL: "Full"}
_PAPERS_BASE = "Llama-2 70B"
_MOST_MISSING = 0.02
"""What share of a benchmark's items may be missing, as questions about figures are here, or others there."""


def reproduction_table(models: Collection[Model], accuracies: Accuracies, provenance: Provenance) -> Table | None:
    """Set the accuracies of `full` and `lora` on all questions beside the paper's, with where its cells lie.

    None if no benchmark has the paper's questions, or there is neither model.
    """
    methods = [m for m in METHODS if any((model.name, model.method) == (m, m) for model in models)]
    rows = [row for row in TABLE_1 if _is_papers(row, accuracies)]
    if not methods or not rows:
        return None
    trained_on = provenance.sources
    compared = _base(provenance) == _PAPERS_BASE
    columns = [Column("Benchmark", numeric=False)]
    columns += [Column(title, _TITLES[m]) for m in methods for title in ("Paper", "This run", "The paper's cell lies")]
    return Table(
        caption="The accuracies beside the paper's Table 1, in percent, leaked questions included",
        columns=tuple(columns),
        rows=tuple(
            TableRow(
                (
                    Cell(_label(row, trained_on)),
                    *(cell for m in methods for cell in _cells(row, m, accuracies, compared=compared)),
                ),
                summary=row.num_items is None,
            )
            for row in rows
        ),
        note=" ".join(_notes(accuracies, rows, provenance, trained_on)),
    )


def _is_papers(row: PublishedRow, accuracies: Accuracies) -> bool:
    """Say whether this run scored a benchmark on the paper's questions, or all but a few of them."""
    here = accuracies.get((row.group, BASE, "all"))
    if here is None:
        return False
    parts = [part for part in TABLE_1 if part.num_items and part.group.startswith(row.group.removesuffix("average"))]
    papers = row.num_items or sum(part.num_items or 0 for part in parts)
    return abs(here.n - papers) <= _MOST_MISSING * papers


def _base(provenance: Provenance) -> str:
    recipes = [training.recipe for training in provenance.training.values() if training.recipe]
    return base_by_size(recipes[0].base_parameters if recipes else None)


def _label(row: PublishedRow, trained_on: Collection[str]) -> str:
    return display_name(row.group) + " *" * is_trained_on(row.group, trained_on)


def _cells(row: PublishedRow, method: str, accuracies: Accuracies, *, compared: bool) -> tuple[Cell, Cell, Cell]:
    paper = row.accuracy(COLUMN_OF_METHOD[method])
    here = accuracies[row.group, method, "all"].estimate
    if paper is None or here is None:
        return Cell(MISSING), Cell(percent(here.value if here else None)), Cell(MISSING)
    share = paper / 100
    where = "inside" if here.low <= share <= here.high else "above" if share > here.high else "below"
    return (
        Cell(f"{paper:.1f}"),
        percent_cell(here),
        Cell(where if compared else MISSING, strong=compared and where != "inside"),
    )


def _notes(
    accuracies: Accuracies, rows: list[PublishedRow], provenance: Provenance, trained_on: Collection[str]
) -> list[str]:
    notes = []
    base = _base(provenance)
    if base == _PAPERS_BASE:
        notes.append(
            "Where the paper's cell lies: inside this run's interval, above or below it. That is no test: the paper's "
            "number has an error of its own, and of how it asked, zero-shot with lm-eval, neither prompts nor version "
            "are stated. How this run asked stands in the table of how the benchmarks were scored."
        )
    else:
        notes.append(f"The paper's cells are of {_PAPERS_BASE}, this run's of {base}: they are not compared.")
    if any(is_trained_on(row.group, trained_on) for row in rows):
        notes.append("* Another split of this benchmark is in the mixture.")
    for row in rows:
        here = accuracies[row.group, BASE, "all"].n
        if row.num_items and here != row.num_items:
            notes.append(f"{display_name(row.group)}: {here:,} questions here, {row.num_items:,} in the paper.")
    notes += _left_out(accuracies, rows)
    items, contaminated = rows_of_a2()
    total, total_contaminated = TABLE_A2_TOTAL
    notes.append(
        f"In the paper itself: the rows of Table A2 sum to {items:,} questions, {contaminated} of them contaminated, "
        f"its total says {total:,} and {total_contaminated}; and its averages of MMLU and USMLE weigh topics equally. "
        "Each cell of its own two models is a whole number of right answers; those of other models are quoted from "
        "other papers, of which some scored other numbers of questions than Table A2's."
    )
    return notes


def _left_out(accuracies: Accuracies, rows: list[PublishedRow]) -> list[str]:
    """Name the paper's benchmarks that this run scored on other questions."""
    others = [(row, accuracies.get((row.group, BASE, "all"))) for row in TABLE_1 if row.num_items and row not in rows]
    counts = [f"{display_name(row.group)} ({here.n:,}, {row.num_items:,})" for row, here in others if here]
    if not counts:
        return []
    return [f"Left out, as the questions are others (how many here, in the paper): {', '.join(counts)}."]
