"""The table of accuracies by subject."""

from __future__ import annotations

from collections.abc import Sequence

from med42lib.formats.report import PREFIX_OF_AVERAGE
from med42lib.formats.written import display_name
from med42lib.report.formatting import SUBSET_LABELS, integer
from med42lib.report.pages.interval_notes import accuracy_intervals
from med42lib.report.pages.tables import Cell, Column, Table, TableRow, number_columns, percent_cell, text_columns
from med42lib.report.results.subjects import SubjectScores
from med42lib.report.results.table import Results

MAX_ROWS = 100


def subject_table(results: Results, scores: Sequence[SubjectScores], *, confidence: float) -> Table:
    """Tabulate accuracy by subject and model; of very many subjects those with the most questions."""
    most = sorted(scores, key=lambda row: -row.n)[:MAX_ROWS]
    shown = [row for row in scores if row in most]
    return Table(
        caption=f"Accuracy in percent by subject, {SUBSET_LABELS[results.main_subset].lower()}",
        columns=(*text_columns("Benchmark", "Subject"), Column("n"), *number_columns(results.titles)),
        rows=tuple(_row(row) for row in shown),
        note=" ".join([*_left_out_note(scores, shown), _caution(results, scores, confidence)]),
    )


def _row(scores: SubjectScores) -> TableRow:
    cells = [percent_cell(found.estimate) for found in scores.accuracies.values()]
    return TableRow((Cell(_family(scores.benchmark)), Cell(scores.subject), Cell(integer(scores.n)), *cells))


def _family(benchmark: str) -> str:
    """Name MMLU alone where the subject is the benchmark's own topic."""
    prefixes = [prefix for prefix in PREFIX_OF_AVERAGE.values() if benchmark.startswith(prefix)]
    return display_name(prefixes[0].removesuffix("_") if prefixes else benchmark)


def _left_out_note(scores: Sequence[SubjectScores], shown: Sequence[SubjectScores]) -> list[str]:
    if len(shown) == len(scores):
        return []
    return [f"The {integer(len(shown))} of {integer(len(scores))} subjects with the most questions."]


def _caution(results: Results, scores: Sequence[SubjectScores], confidence: float) -> str:
    num_intervals = len(scores) * len(results.models)
    missed = num_intervals * (1 - confidence)
    return (
        f"{accuracy_intervals(results, confidence)} Each is of its number alone. Of {integer(num_intervals)} such "
        f"intervals about {missed:.2g} miss the truth by chance. Nothing here is tested: a subject picked because "
        "it looks best or worst will look less so on other questions. subjects.csv holds every subject."
    )
