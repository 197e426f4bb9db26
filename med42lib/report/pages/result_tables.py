"""The tables of results: accuracy, differences, contamination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from med42lib.report.estimates import Estimate
from med42lib.report.formatting import (
    SUBSET_LABELS,
    display_name,
    integer,
    interval_limits,
    p_value,
    percent,
    percent_of,
    points,
)
from med42lib.report.pages.tables import Cell, Column, Table, TableRow, number_columns, plain_row, text_columns
from med42lib.report.provenance.models import Pair
from med42lib.report.provenance.record import Provenance
from med42lib.report.results.cautions import Cautions
from med42lib.report.results.contamination import Contamination, ThresholdRow
from med42lib.report.results.table import Accuracy, Difference, Group, Results


def accuracy_table(results: Results, cautions: Cautions, *, confidence: float, subsets: Sequence[str]) -> Table:
    """Tabulate accuracy by benchmark and model, with Wilson's interval, one block of columns per subset."""
    columns = [*text_columns("Benchmark")]
    for subset in subsets:
        columns += number_columns(["n", *results.titles], group=SUBSET_LABELS[subset])
    return Table(
        caption="Accuracy in percent, zero-shot",
        columns=tuple(columns),
        rows=tuple(_accuracy_row(results, group, subsets) for group in results.groups),
        note=" ".join(
            [
                f"In brackets: Wilson's {percent_of(confidence)} interval. n: questions.",
                *_averages_note(results),
                *_cautions_note(results, cautions),
            ]
        ),
    )


def difference_table(results: Results, *, confidence: float, subset: str) -> Table:
    """Tabulate the differences between models on the same questions, with paired interval and exact p values."""
    columns = [*text_columns("Benchmark"), Column("n")]
    for pair in results.comparisons:
        columns += number_columns(["points", "p"], group=comparison_label(results, pair))
    return Table(
        caption=f"Differences in percentage points, {SUBSET_LABELS[subset].lower()}",
        columns=tuple(columns),
        rows=tuple(_difference_row(results, group, subset) for group in results.groups),
        note=(
            f"In brackets: Newcombe's paired {percent_of(confidence)} interval (method 10); bold where it excludes "
            "zero. p: McNemar's exact test; in brackets, adjusted after Holm for having tested every benchmark."
        ),
    )


def contamination_table(results: Results, contamination: Contamination, *, confidence: float) -> Table:
    """Tabulate leaked questions and what removing them changes (the paper's Tables A2 and A3)."""
    columns = [*text_columns("Benchmark"), *number_columns(["Questions", "Leaked", "Leaked, %"])]
    columns += number_columns(results.titles, group="Change of accuracy when they are removed")
    shares = {share.benchmark: (share.num_items, share.num_contaminated) for share in contamination.benchmarks}
    return Table(
        caption=f"Evaluation questions with a training example of cosine above {contamination.threshold:g}",
        columns=tuple(columns),
        rows=tuple(_contamination_row(results, group, shares) for group in results.groups),
        note=(
            "Questions, Leaked: of the whole benchmark, scored or not. Changes: clean minus all scored questions, in "
            f"percentage points, with {percent_of(confidence)} interval; bold where it excludes zero."
            f"{_stems_note(contamination)}"
        ),
    )


def _stems_note(contamination: Contamination) -> str:
    if not contamination.num_stems:
        return ""
    return (
        f" Not leaked: {integer(contamination.num_stems)} questions share no more with a training example than a stem "
        'such as "Which of the following is true?".'
    )


def leaked_table(results: Results, *, confidence: float) -> Table:
    """Tabulate accuracy on the leaked questions alone."""
    groups = [group for group in results.groups if results.accuracies[group.key, "base", "contaminated"].n]
    return Table(
        caption="Accuracy in percent on the leaked questions alone",
        columns=(*text_columns("Benchmark"), *number_columns(["n", *results.titles])),
        rows=tuple(_accuracy_row(results, group, ("contaminated",)) for group in groups),
        note=f"In brackets: Wilson's {percent_of(confidence)} interval.",
    )


def source_table(contamination: Contamination, provenance: Provenance) -> Table:
    """Tabulate which training sources the leaked pairs come from."""
    rows = [
        plain_row(provenance.source_title(share.source), integer(share.num_pairs), integer(share.num_items))
        for share in contamination.sources
    ]
    return Table(
        caption="Where the leaked text stands in the training data",
        columns=(*text_columns("Training source"), *number_columns(["Pairs", "Questions"])),
        rows=tuple(rows),
        note="One question can be near to examples of several sources.",
    )


def threshold_table(results: Results, rows: Sequence[ThresholdRow], *, used: float) -> Table:
    """Tabulate accuracy on clean items for several thresholds."""
    return Table(
        caption="What if the threshold were another?",
        columns=(
            *text_columns("Cosine above"),
            *number_columns(["Leaked", "n"]),
            *number_columns(results.titles, group="Accuracy without them"),
        ),
        rows=tuple(_threshold_row(row, used) for row in rows),
        note=f"All scored questions together. The report uses {used:g}.",
    )


def comparison_label(results: Results, pair: Pair) -> str:
    """Name a difference: "Full − Base"."""
    return " − ".join(results.model(name).title for name in pair)


def _averages_note(results: Results) -> list[str]:
    averages = [display_name(group.key) for group in results.groups if group.average]
    if averages:
        weigh = "weighs its parts" if len(averages) == 1 else "weigh their parts"
        return [f"{' and '.join(averages)} {weigh} equally, as the paper does; the last line pools all questions."]
    return ["The last line pools all questions."] if len(results.groups) > 2 else []


def _cautions_note(results: Results, cautions: Cautions) -> list[str]:
    """Name the scored questions that were cut, and those with two right options."""
    note = []
    if cautions.truncated:
        cut = ", ".join(
            f"{display_name(name)} {_by_model(results, counts)}" for name, counts in cautions.truncated.items()
        )
        note.append(f"Questions too long for the model, scored without their beginning: {cut}.")
    if cautions.right_option_twice:
        twice = ", ".join(f"{display_name(name)} {integer(n)}" for name, n in cautions.right_option_twice.items())
        note.append(f"Questions whose right option stands twice, so that either is right: {twice}.")
    return note


def _by_model(results: Results, counts: Mapping[str, int]) -> str:
    """Write a number once if it is the same for all models: "3", else "3 (Base), 0 (LoRA)"."""
    numbers = [counts.get(model.name, 0) for model in results.models]
    if len(set(numbers)) == 1:
        return integer(numbers[0])
    return ", ".join(f"{integer(n)} ({model.title})" for n, model in zip(numbers, results.models, strict=True))


def _accuracy_row(results: Results, group: Group, subsets: Sequence[str]) -> TableRow:
    cells = [Cell(display_name(group.key))]
    for subset in subsets:
        found = [results.accuracies[group.key, model.name, subset] for model in results.models]
        cells += [Cell(integer(found[0].n)), *(_accuracy_cell(accuracy) for accuracy in found)]
    return TableRow(tuple(cells), group.is_summary)


def _accuracy_cell(accuracy: Accuracy) -> Cell:
    value = accuracy.estimate.value if accuracy.estimate else None
    return Cell(percent(value), interval_limits(accuracy.estimate))


def _difference_row(results: Results, group: Group, subset: str) -> TableRow:
    found = [results.differences[group.key, first, second, subset] for first, second in results.comparisons]
    cells = [Cell(display_name(group.key)), Cell(integer(found[0].n))]
    for difference in found:
        cells += [_points_cell(difference.estimate), _p_cell(difference)]
    return TableRow(tuple(cells), group.is_summary)


def _p_cell(difference: Difference) -> Cell:
    adjusted = difference.adjusted_p_value
    return Cell(p_value(difference.p_value), "" if adjusted is None else f"[{p_value(adjusted)}]")


def _points_cell(estimate: Estimate | None) -> Cell:
    if estimate is None:
        return Cell(points(None))
    return Cell(points(estimate.value), interval_limits(estimate, signed=True), strong=not estimate.includes_zero)


def _contamination_row(results: Results, group: Group, shares: dict[str, tuple[int, int]]) -> TableRow:
    counted = [shares[name] for name in group.benchmarks if name in shares]
    num_items, num_contaminated = (sum(counts) for counts in zip(*counted, strict=True)) if counted else (0, 0)
    share = percent(num_contaminated / num_items if num_items else None)
    cells = [Cell(display_name(group.key)), Cell(integer(num_items)), Cell(integer(num_contaminated)), Cell(share)]
    any_scored = results.accuracies[group.key, "base", "contaminated"].n > 0
    cells += [_points_cell(results.changes[group.key, m.name] if any_scored else None) for m in results.models]
    return TableRow(tuple(cells), group.is_summary)


def _threshold_row(row: ThresholdRow, used: float) -> TableRow:
    is_used = abs(row.threshold - used) < 1e-9
    accuracies = list(row.accuracies.values())
    cells = [Cell(f"{row.threshold:.4g}".ljust(4, "0"), strong=is_used), Cell(integer(row.num_contaminated))]
    return TableRow((*cells, Cell(integer(accuracies[0].n)), *(_accuracy_cell(a) for a in accuracies)))
