"""The tables of scores beside accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from med42lib.formats.scores import METRIC_OF
from med42lib.formats.written import MISSING, PERCENT, display_name, p_value, percent, percent_of
from med42lib.report.formatting import SUBSET_LABELS, integer
from med42lib.report.guessing import NUM_BINS
from med42lib.report.pages.interval_notes import accuracy_intervals
from med42lib.report.pages.tables import (
    Cell,
    Column,
    Table,
    TableRow,
    number_columns,
    percent_cell,
    points_cell,
    text_columns,
)
from med42lib.report.results.baselines import Baseline
from med42lib.report.results.measures import AboveChance, Calibration, Measures
from med42lib.report.results.table import Group, Results


def measure_tables(
    results: Results, measures: Measures, baselines: Mapping[str, Baseline], *, confidence: float
) -> dict[str, Table]:
    """Tabulate each measure; one that no benchmark has is left out."""
    tables = {}
    if measures.above_chance:
        tables["above_chance"] = _above_chance_table(results, measures, baselines, confidence)
    if measures.normalised:
        tables["normalised"] = _normalised_table(results, measures, confidence)
    if measures.calibration:
        tables["calibration"] = _calibration_table(results, measures, confidence)
    return tables


def _above_chance_table(
    results: Results, measures: Measures, baselines: Mapping[str, Baseline], confidence: float
) -> Table:
    columns = [*text_columns("Benchmark"), Column("Guessing, %")]
    for title in results.titles:
        columns += number_columns(["score", "p"], group=title)
    rows = []
    for group in _groups(results, measures.above_chance):
        cells = [Cell(display_name(group.key)), Cell(percent(baselines[group.key].chance))]
        for model in results.models:
            cells += _above_chance_cells(measures.above_chance.get((group.key, model.name)), alpha=1 - confidence)
        rows.append(TableRow(tuple(cells), group.is_summary))
    return Table(
        caption=f"Accuracy above chance in percent, {SUBSET_LABELS[measures.subset].lower()}",
        columns=tuple(columns),
        rows=tuple(rows),
        note=" ".join(
            [
                "score: (accuracy − guessing) / (100 − guessing), so that 0 is what guessing scores, 100 all right;",
                f"questions of fewer options count less. Below: accuracy's {percent_of(confidence)} interval.",
                "p: exact, of guessing at least as many; questions that belong together are one guess, and of several",
                "seeds the worst counts. In brackets: adjusted after Holm for every cell of this table; bold where",
                f"that is at most {1 - confidence:.3g}.",
                *_constant_note(results, measures),
            ]
        ),
    )


def _above_chance_cells(above: AboveChance | None, *, alpha: float) -> tuple[Cell, Cell]:
    if above is None:
        return Cell(MISSING), Cell(MISSING)
    adjusted = above.adjusted_p_value
    strong = adjusted is not None and adjusted <= alpha
    return (
        points_cell(above.estimate, strong=strong),
        Cell(p_value(above.p_value), "" if adjusted is None else f"[{p_value(adjusted)}]"),
    )


def _constant_note(results: Results, measures: Measures) -> list[str]:
    """Name what is above chance and not above one answer for all: guessing is no rival there."""
    named = [
        f"{display_name(group)} ({results.model(model).title})"
        for (group, model), above in measures.above_chance.items()
        if above.estimate.value > 0 and not above.above_constant
    ]
    return [f"Not above giving the most frequent answer always: {', '.join(named)}."] if named else []


def _normalised_table(results: Results, measures: Measures, confidence: float) -> Table:
    rows = []
    for group in _groups(results, measures.normalised):
        for model in results.models:
            found = [measures.normalised[group.key, model.name, normalise] for normalise in METRIC_OF]
            cells = [Cell(display_name(group.key)), Cell(model.title), Cell(integer(found[0].n))]
            rows.append(TableRow((*cells, *(percent_cell(accuracy.estimate) for accuracy in found)), group.is_summary))
    return Table(
        caption=f"Accuracy in percent by what an option is divided by, {SUBSET_LABELS[measures.subset].lower()}",
        columns=(*text_columns("Benchmark", "Model"), *number_columns(["n", *METRIC_OF.values()])),
        rows=tuple(rows),
        note=(
            "Of benchmarks whose options' texts are scored; letters are all of one length. As lm-eval calls them: acc "
            "compares log-likelihoods as they are, so that short options have an advantage; acc_norm divides them by "
            "the option's characters, acc_bytes by its bytes in UTF-8. Which of them the other tables show stands in "
            "the table of how the benchmarks were scored. "
            f"{accuracy_intervals(results, confidence, groups=_groups(results, measures.normalised))}"
        ),
    )


def _calibration_table(results: Results, measures: Measures, confidence: float) -> Table:
    rows = []
    for group in _groups(results, measures.calibration):
        for model in results.models:
            found = measures.calibration[group.key, model.name]
            cells = [Cell(display_name(group.key)), Cell(model.title), Cell(integer(found.n))]
            rows.append(TableRow((*cells, *_calibration_cells(found)), group.is_summary))
    return Table(
        caption=f"Calibration of letters, {SUBSET_LABELS[measures.subset].lower()}",
        columns=(
            *text_columns("Benchmark", "Model"),
            *number_columns(["n", "Error", "Excess", "Brier", "On letters, %", "Most given"]),
        ),
        rows=tuple(rows),
        note=(
            "A letter's probability is its share among the question's letters. Error: expected calibration error in "
            f"points, of {NUM_BINS} bins of confidence of equal width, and below it what a calibrated model would show "
            "by luck on so many questions. Excess: mean confidence minus accuracy in points, + where the model is too "
            "sure. Brier: summed squared error over the letters, 0 to 2; a uniform guess of four has 0.75. Below both: "
            f"Student's {percent_of(confidence)} interval, of each number alone. On letters: the mean probability that "
            "an answer begins with a letter of the question's; where it is small, the model hardly knew the format. "
            "Most given: the letter that is likeliest most often, and of how many questions."
        ),
    )


def _calibration_cells(found: Calibration) -> tuple[Cell, ...]:
    brier, (letter, share) = found.brier, found.most_given
    return (
        Cell(percent(found.error.value), f"luck {percent(found.error.by_luck)}"),
        points_cell(found.excess),
        Cell(f"{brier.value:.3f}", f"[{brier.low:.3f}, {brier.high:.3f}]"),
        Cell(percent(found.on_letters)),
        Cell(letter, f"{percent(share)}{PERCENT}"),
    )


def _groups(results: Results, keys: Iterable[Sequence[str]]) -> list[Group]:
    """List the groups of which a measure was taken, in the tables' order."""
    there = {key[0] for key in keys}
    return [group for group in results.groups if group.key in there]
