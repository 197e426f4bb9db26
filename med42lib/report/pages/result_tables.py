"""The tables of results: accuracy, differences, contamination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from med42lib.formats.report import IN_DISTRIBUTION, OVERALL, family
from med42lib.formats.written import PERCENT, display_name, p_value, percent, percent_of
from med42lib.report.formatting import SUBSET_LABELS, integer
from med42lib.report.pages.interval_notes import accuracy_intervals, difference_tests
from med42lib.report.pages.tables import (
    Cell,
    Column,
    Table,
    TableRow,
    number_columns,
    percent_cell,
    plain_row,
    points_cell,
    text_columns,
)
from med42lib.report.provenance.models import Model
from med42lib.report.provenance.record import Provenance
from med42lib.report.results.cautions import Cautions
from med42lib.report.results.contamination import Contamination, FoundBy, ThresholdRow
from med42lib.report.results.table import Change, Group, Results


def accuracy_table(results: Results, cautions: Cautions, *, confidence: float, subsets: Sequence[str]) -> Table:
    """Tabulate accuracy by benchmark and model, with intervals, one block of columns per subset."""
    columns = [*text_columns("Benchmark")]
    for subset in subsets:
        columns += number_columns(["n", *results.titles], group=SUBSET_LABELS[subset])
    return Table(
        caption="Accuracy in percent",
        columns=tuple(columns),
        rows=tuple(_accuracy_row(results, group, subsets) for group in results.groups),
        note=" ".join(
            [
                "n: questions.",
                accuracy_intervals(results, confidence, groups=results.groups),
                *_averages_note(results),
                *_distribution_note(results),
                *_cautions_note(results, cautions),
            ]
        ),
    )


def difference_table(results: Results, *, confidence: float, subset: str) -> Table:
    """Tabulate the differences between models on the same questions, with interval and p values.

    The pooled line's adjusted p values are those of the page's answers, where it is of their subset.
    """
    alpha = 1 - confidence
    columns = [*text_columns("Benchmark"), Column("n")]
    for pair in results.comparisons:
        columns += number_columns(["points", "p"], group=results.difference_title(pair))
    return Table(
        caption=f"Differences in percentage points, {SUBSET_LABELS[subset].lower()}",
        columns=tuple(columns),
        rows=tuple(_difference_row(results, group, subset, alpha=alpha) for group in results.groups),
        note=" ".join(
            [
                difference_tests(results, confidence),
                "In brackets: p adjusted after Holm for all benchmarks and comparisons of this",
                f"table{_pooled_note(results, subset)}. Bold: adjusted, p is at most {alpha:.3g}. An interval that",
                "excludes zero beside a number that is not bold is one of many that may by chance.",
                *_effective_note(results, subset),
            ]
        ),
    )


def trainings_table(results: Results, *, confidence: float) -> Table:
    """Tabulate what the trainings of one model scored that differ in their seed alone."""
    subset = results.main_subset
    rows = []
    for model in results.models:
        found = results.accuracies[OVERALL, model.name, subset]
        if found.spread is not None and found.estimate is not None:
            errors = [percent(part**0.5) for part in (found.spread.questions, found.spread.trainings)]
            scored = ", ".join(percent(accuracy) for accuracy in found.trainings)
            mean = percent_cell(found.estimate)
            rows.append(TableRow((Cell(model.title), Cell(scored), mean, *map(Cell, errors))))
    return Table(
        caption=f"Trainings with several seeds: accuracy in percent, {SUBSET_LABELS[subset].lower()}",
        columns=(
            *text_columns("Model", "Each seed"),
            Column("Mean"),
            *number_columns(["questions", "seeds"], group="Standard error in points, from"),
        ),
        rows=tuple(rows),
        note=(
            f"Below the mean: Student's {percent_of(confidence)} interval for other questions and other seeds. What "
            "seeds differ in by the chance of single questions is the questions' part."
        ),
    )


def contamination_table(
    results: Results, contamination: Contamination, *, close_match: str, confidence: float
) -> Table:
    """Tabulate leaked questions and what removing them changes (the paper's Tables A2 and A3)."""
    columns = [*text_columns("Benchmark"), *number_columns(["Questions", "Leaked", "Leaked, %"])]
    columns += number_columns(results.titles, group="Change of accuracy when they are removed")
    shares = {share.benchmark: (share.num_items, share.num_contaminated) for share in contamination.benchmarks}
    return Table(
        caption=f"Evaluation questions with {close_match}",
        columns=tuple(columns),
        rows=tuple(_contamination_row(results, group, shares, alpha=1 - confidence) for group in results.groups),
        note=(
            "Questions, Leaked: of the questions that the stage benchmarks took, scored or not. Changes: clean minus "
            "all scored questions, each benchmark by itself and then averaged by their questions, in percentage "
            f"points, with {percent_of(confidence)} interval; bold where p, adjusted after Holm for every cell of the "
            f"table, is at most {1 - confidence:.3g}. Leaked questions that are easier for every model change "
            "accuracies too."
            f"{_wholly_leaked_note(results)}"
            f"{_SEEDS_AS_THEY_ARE * any(model.has_seeds for model in results.models)}{_stems_note(contamination)}"
        ),
    )


def _wholly_leaked_note(results: Results) -> str:
    names = ", ".join(map(display_name, results.wholly_leaked))
    left_out = f" Lines of several benchmarks leave out the changes of those in which every question leaked: {names}."
    return left_out * bool(names)


_SEEDS_AS_THEY_ARE = (
    " Of several seeds the mean counts, and the intervals are for other questions and these very seeds."
)


def _stems_note(contamination: Contamination) -> str:
    if not contamination.num_stems:
        return ""
    return (
        f" Not leaked: {integer(contamination.num_stems)} questions share no more with a training example than a stem "
        'such as "Which of the following is true?", or a question that items ask of several contexts.'
    )


def leaked_table(results: Results, *, confidence: float) -> Table:
    """Tabulate accuracy on the leaked questions alone."""
    groups = [group for group in results.groups if results.accuracies[group.key, "base", "contaminated"].n]
    return Table(
        caption="Accuracy in percent on the leaked questions alone",
        columns=(*text_columns("Benchmark"), *number_columns(["n", *results.titles])),
        rows=tuple(_accuracy_row(results, group, ("contaminated",)) for group in groups),
        note=accuracy_intervals(results, confidence, groups=groups),
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


def label_table(contamination: Contamination) -> Table:
    """Tabulate what pairs share and which detector finds them; the rules of the labels stand below the table."""
    detected = contamination.detected
    rows = [_found_row(share.label.heading, share.pairs, integer(share.num_items)) for share in contamination.labels]
    rows.append(_found_row("Questions, without those of a stem only", detected, integer(detected.total), last=True))
    return Table(
        caption="What a training example shares with the question that it is like, and what finds the pair",
        columns=(
            *text_columns("Label"),
            *number_columns(["cosine alone", "both", "words alone"], group="Pairs found by"),
            Column("Questions"),
        ),
        rows=tuple(rows),
        note=(
            "One question can be in pairs of several labels. Cosine: above the threshold. Words: the question's, one "
            "for one, or 13 of them in a row (all of a question of 8 to 12) in anything that the example says, unless "
            "more than ten examples do (Brown et al. 2020). What words alone find flags no question. "
            f"{_agreement(detected)}"
        ),
    )


def _found_row(heading: str, found: FoundBy, items: str, *, last: bool = False) -> TableRow:
    return plain_row(heading, *map(integer, (found.cosine, found.both, found.overlap)), items, summary=last)


def _agreement(found: FoundBy) -> str:
    """Say how far two detectors find the same questions."""
    if not found.total:
        return "Neither finds a question that shares more than a stem."
    share = percent(found.both / found.total)
    return f"Of {integer(found.total)} questions that either finds, both find {integer(found.both)} ({share}{PERCENT})."


def threshold_table(results: Results, rows: Sequence[ThresholdRow], *, used: float, confidence: float) -> Table:
    """Tabulate accuracy on clean items for several thresholds."""
    return Table(
        caption="What if the threshold were another?",
        columns=(
            *text_columns("Cosine above"),
            *number_columns(["Leaked", "n"]),
            *number_columns(results.titles, group="Accuracy without them"),
        ),
        rows=tuple(_threshold_row(row, used) for row in rows),
        note=" ".join(
            [
                f"All scored questions together. The report uses {used:g}.",
                *([_BELOW_THE_USED] if any(row.threshold < used for row in rows) else []),
                *([_BY_WORDS] if any(row.or_by_words for row in rows) else []),
                accuracy_intervals(results, confidence),
            ]
        ),
    )


_BELOW_THE_USED = (
    "Below that, Leaked is too low where the nearest example shares a stem alone, which is no leak: how near others "
    "are is not recorded."
)


_BY_WORDS = "By words: found by words alone, which flag no question, count as leaked too."


def _averages_note(results: Results) -> list[str]:
    averages = [display_name(group.key) for group in results.groups if group.average]
    if averages:
        weigh = "weighs its parts" if len(averages) == 1 else "weigh their parts"
        return [f"{' and '.join(averages)} {weigh} equally, as the paper does; the last line pools all questions."]
    return ["The last line pools all questions."] if len(results.groups) > 2 else []


def _distribution_note(results: Results) -> list[str]:
    """Name the benchmarks that stand apart because another split of them is in the mixture."""
    inside = [group.benchmarks for group in results.groups if group.key == IN_DISTRIBUTION]
    names = dict.fromkeys(display_name(family(name)) for benchmarks in inside for name in benchmarks)
    return [f"{display_name(IN_DISTRIBUTION)}: of {', '.join(names)}. {_BY_NAME}"] if names else []


_BY_NAME = "The others are so by name: what a source of another name has of them is not known."


def _cautions_note(results: Results, cautions: Cautions) -> list[str]:
    """Name the scored questions that were cut, those whose answers tie, and those with two right options."""
    note = [
        f"{what}: {', '.join(_counted(results, name, counts) for name, counts in by_benchmark.items())}."
        for what, by_benchmark in (
            ("Questions too long for the model, scored without their beginning", cautions.truncated),
            ("Questions of which several answers were the likeliest, so that the first of them counts", cautions.tied),
        )
        if by_benchmark
    ]
    if cautions.right_option_twice:
        twice = ", ".join(f"{display_name(name)} {integer(n)}" for name, n in cautions.right_option_twice.items())
        note.append(f"Questions whose right option stands twice, so that either is right: {twice}.")
    return note


def _counted(results: Results, benchmark: str, counts: Mapping[str, int]) -> str:
    """Write a number once if it is the same for all models: "MedQA 3", else "MedQA 3 (Base), 0 to 2 (LoRA)" by seed."""
    numbers = [_of_trainings(model, counts) for model in results.models]
    each = [f"{said} ({model.title})" for said, model in zip(numbers, results.models, strict=True)]
    return f"{display_name(benchmark)} {numbers[0] if len(set(numbers)) == 1 else ', '.join(each)}"


def _of_trainings(model: Model, counts: Mapping[str, int]) -> str:
    found = [counts.get(name, 0) for name in model.trainings or (model.name,)]
    return " to ".join(map(integer, sorted({min(found), max(found)})))


def _accuracy_row(results: Results, group: Group, subsets: Sequence[str]) -> TableRow:
    cells = [Cell(display_name(group.key))]
    for subset in subsets:
        found = [results.accuracies[group.key, model.name, subset] for model in results.models]
        cells += [Cell(integer(found[0].n)), *(percent_cell(accuracy.estimate) for accuracy in found)]
    return TableRow(tuple(cells), group.is_summary)


def _pooled_note(results: Results, subset: str) -> str:
    return "; of all benchmarks together, as for the answers at the top" if subset == results.main_subset else ""


def _effective_note(results: Results, subset: str) -> list[str]:
    """Say how many independent questions the pooled line is worth, if fewer than it has."""
    found = {pair: results.differences[OVERALL, *pair, subset] for pair in results.comparisons}
    fewer = [
        f"{integer(difference.n / difference.design_effect)} ({results.difference_title(pair)})"
        for pair, difference in found.items()
        if difference.design_effect > 1
    ]
    if not fewer:
        return []
    return [
        "Questions that belong together (near-duplicates, one context, vignette or group, one leaked example) widen "
        f"intervals: those of the last line tell as much as {', '.join(fewer)} independent ones."
    ]


def _difference_row(results: Results, group: Group, subset: str, *, alpha: float) -> TableRow:
    cells = [Cell(display_name(group.key))]
    found = {pair: results.differences[group.key, *pair, subset] for pair in results.comparisons}
    cells.append(Cell(integer(next(iter(found.values())).n)))
    for pair, difference in found.items():
        adjusted = difference.adjusted_p_value
        if group.key == OVERALL and subset == results.main_subset:
            adjusted = results.verdicts.differences[pair].adjusted_p_value
        cells.append(points_cell(difference.estimate, strong=adjusted is not None and adjusted <= alpha))
        cells.append(Cell(p_value(difference.p_value), "" if adjusted is None else f"[{p_value(adjusted)}]"))
    return TableRow(tuple(cells), group.is_summary)


def _contamination_row(results: Results, group: Group, shares: dict[str, tuple[int, int]], *, alpha: float) -> TableRow:
    counted = [shares[name] for name in group.benchmarks if name in shares]
    num_items, num_contaminated = (sum(counts) for counts in zip(*counted, strict=True)) if counted else (0, 0)
    share = percent(num_contaminated / num_items if num_items else None)
    cells = [Cell(display_name(group.key)), Cell(integer(num_items)), Cell(integer(num_contaminated)), Cell(share)]
    any_scored = results.accuracies[group.key, "base", "contaminated"].n > 0
    cells += [_change_cell(results.changes[group.key, m.name] if any_scored else None, alpha) for m in results.models]
    return TableRow(tuple(cells), group.is_summary)


def _change_cell(change: Change | None, alpha: float) -> Cell:
    if change is None:
        return points_cell(None)
    return points_cell(change.estimate, strong=change.adjusted_p_value <= alpha)


def _threshold_row(row: ThresholdRow, used: float) -> TableRow:
    is_used = abs(row.threshold - used) < 1e-9 and not row.or_by_words
    threshold = max(f"{row.threshold:.2f}", f"{row.threshold:.4g}", key=len) + ", or by words" * row.or_by_words
    cells = [Cell(threshold, strong=is_used), Cell(integer(row.num_contaminated)), Cell(integer(row.num_clean))]
    return TableRow((*cells, *(percent_cell(accuracy.estimate) for accuracy in row.accuracies.values())))
