"""The numbers for programs: results.csv, subjects.csv, summary.json, and metrics.

No file holds times or addresses, so two runs with the same scores write the same bytes.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from med42lib.core.json_file import write_json
from med42lib.core.printable import no_formula, one_line
from med42lib.formats.models import BASE
from med42lib.formats.report import LEAKED_SHARE, OVERALL, accuracy_metric
from med42lib.formats.scores import METRIC_OF
from med42lib.report.estimates import Estimate
from med42lib.report.pages.view import Evidence
from med42lib.report.results.comparison import Difference
from med42lib.report.results.contamination import ThresholdRow
from med42lib.report.results.measures import Measures
from med42lib.report.results.scores import SUBSETS
from med42lib.report.results.table import Accuracy, Change, Results
from med42lib.report.results.verdicts import Verdict

CSV_COLUMNS = ("benchmark", "model", "subset", "n", "correct", "accuracy", "low", "high", "n_effective")


def write_csv(path: Path, results: Results) -> int:
    """Write one row per benchmark (and average), model and subset; shares in [0, 1], empty where there are no items.

    `n_effective` is the number of independent items that would tell as much as the n; empty for an average.

    Returns:
        The number of rows below the heading.
    """
    rows = [_csv_row(key, results.accuracies[key]) for key in results.accuracies]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        writer.writerows(rows)
    return len(rows)


def write_subjects(path: Path, evidence: Evidence) -> None:
    """Write one row per subject of a benchmark and model, on the main subset, with the columns of `write_csv`.

    A subject is what a data set says, and a spreadsheet would compute one that looks like a formula.
    """
    subset = evidence.results.main_subset
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow((CSV_COLUMNS[0], "subject", *CSV_COLUMNS[1:]))
        for scores in evidence.subjects:
            for model, accuracy in scores.accuracies.items():
                benchmark, *numbers = _csv_row((scores.benchmark, model, subset), accuracy)
                writer.writerow((benchmark, no_formula(one_line(scores.subject)), *numbers))


def write_summary(path: Path, evidence: Evidence, *, confidence: float) -> None:
    """Write every number of the report as JSON."""
    results = evidence.results
    document = {
        "confidence": confidence,
        "models": {model.name: model.method for model in results.models},
        "groups": {group.key: list(group.benchmarks) for group in results.groups},
        "accuracy": _by_group(results, _accuracies),
        "difference": _by_group(results, _differences),
        "change_without_contaminated": _by_group(results, _changes),
        "verdicts": _verdicts(results),
        "beside_accuracy": _measures(evidence.measures),
        "baselines": {key: {"chance": b.chance, "constant": b.constant} for key, b in evidence.baselines.items()},
        "truncated": {name: dict(counts) for name, counts in evidence.cautions.truncated.items()},
        "tied": {name: dict(counts) for name, counts in evidence.cautions.tied.items()},
        "right_option_twice": dict(evidence.cautions.right_option_twice),
        "contamination": _contamination(evidence),
        "recipe": [
            {"setting": c.label, "method": c.method, "paper": c.paper, "here": c.here, "departs": c.departs}
            for c in evidence.recipe
        ],
    }
    write_json(path, document)


def metric_values(results: Results, measures: Measures) -> Iterator[tuple[str, float]]:
    """Name the headline numbers, to be recorded as metrics: accuracies, and differences with their intervals' ends.

    A model that was trained several times has an accuracy by each training's name, and their mean by `<name>_mean`.
    What stands beside accuracy is of the main subset, and of several trainings the mean.
    """
    yield from _measure_values(measures)
    num_all, num_leaked = (results.accuracies[OVERALL, BASE, subset].n for subset in ("all", "contaminated"))
    yield LEAKED_SHARE, num_leaked / num_all
    for (group, model, subset), accuracy in results.accuracies.items():
        of_trainings = dict(zip(results.model(model).trainings, accuracy.trainings, strict=False))
        for name, value in of_trainings.items():
            yield accuracy_metric(subset, group, name), value
        if accuracy.estimate is not None:
            yield accuracy_metric(subset, group, model + "_mean" * bool(of_trainings)), accuracy.estimate.value
    for (group, first, second, subset), difference in results.differences.items():
        if difference.estimate is not None:
            name = f"{subset}/{group}/{first}-{second}"
            yield f"difference/{name}", difference.estimate.value
            yield f"difference_low/{name}", difference.estimate.low
            yield f"difference_high/{name}", difference.estimate.high


def _measure_values(measures: Measures) -> Iterator[tuple[str, float]]:
    for (group, model), above in measures.above_chance.items():
        yield f"chance_corrected/{measures.subset}/{group}/{model}", above.estimate.value
    for (group, model, normalise), accuracy in measures.normalised.items():
        if accuracy.estimate is not None:
            yield f"{METRIC_OF[normalise]}/{measures.subset}/{group}/{model}", accuracy.estimate.value
    for (group, model), found in measures.calibration.items():
        yield f"calibration_error/{measures.subset}/{group}/{model}", found.error.value
        yield f"brier_score/{measures.subset}/{group}/{model}", found.brier.value


def _csv_row(key: tuple[str, str, str], accuracy: Accuracy) -> list[object]:
    numbers = _ends(accuracy.estimate)
    correct = "" if accuracy.correct is None else accuracy.correct
    return [
        *map(one_line, key),
        accuracy.n,
        correct,
        *("" if number is None else f"{number:.6f}" for number in numbers),
        "" if accuracy.correct is None else f"{accuracy.n / accuracy.design_effect:.1f}",
    ]


def _ends(estimate: Estimate | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if estimate is None else (estimate.value, estimate.low, estimate.high)


def _named_ends(estimate: Estimate | None) -> dict[str, float | None]:
    return dict(zip(("value", "low", "high"), _ends(estimate), strict=True))


def _by_group(results: Results, part: Callable[[Results, str], Any]) -> dict[str, Any]:
    return {group.key: part(results, group.key) for group in results.groups}


def _accuracies(results: Results, group: str) -> dict[str, Any]:
    return {
        model.name: {
            subset: {
                "n": found.n,
                "n_effective": None if found.correct is None else found.n / found.design_effect,
                "correct": found.correct,
                **_named_ends(found.estimate),
                **_by_training(results.model(model.name).trainings, found),
            }
            for subset in SUBSETS
            for found in (results.accuracies[group, model.name, subset],)
        }
        for model in results.models
    }


def _by_training(names: Sequence[str], accuracy: Accuracy) -> dict[str, Any]:
    """Write what each of several trainings scored, and the mean's standard error by what it comes from."""
    if accuracy.spread is None:
        return {}
    return {
        "trainings": dict(zip(names, accuracy.trainings, strict=True)),
        "error_of_questions": accuracy.spread.questions**0.5,
        "error_of_trainings": accuracy.spread.trainings**0.5,
    }


def _differences(results: Results, group: str) -> dict[str, Any]:
    return {
        f"{first}-{second}": {
            subset: _difference(results.differences[group, first, second, subset]) for subset in SUBSETS
        }
        for first, second in results.comparisons
    }


def _difference(difference: Difference) -> dict[str, Any]:
    counts = difference.counts
    return {
        "n": difference.n,
        "n_effective": difference.n / difference.design_effect if counts else None,
        **_named_ends(difference.estimate),
        "first_only": _count(counts.first_only) if counts else None,
        "second_only": _count(counts.second_only) if counts else None,
        "p": difference.p_value,
        "p_holm": difference.adjusted_p_value,
    }


def _count(number: float) -> float:
    """Write a count as a whole number; the mean count of several trainings may be none."""
    return int(number) if number == int(number) else number


def _changes(results: Results, group: str) -> dict[str, Any]:
    models = {model.name: _change(results.changes[group, model.name]) for model in results.models}
    gains = {f"{a}-{b}": _change(results.gain_changes[group, a, b]) for a, b in results.comparisons}
    return models | gains


def _change(change: Change | None) -> dict[str, float | None]:
    return _named_ends(change.estimate if change else None) | {"p": change.p_value if change else None}


def _verdicts(results: Results) -> dict[str, Any]:
    """The answers at the top, as numbers: 1 for larger, -1 for smaller, 0 for not shown, None for unknown."""
    verdicts = results.verdicts
    leaks = {
        f"{first}-{second}": _verdict(verdict)
        | {
            "num_leaked": gain.num_leaked,
            "leaked": gain.leaked,
            "others": gain.others,
            "p_points": gain.p_points,
            "p_odds": gain.p_odds,
        }
        for (first, second), verdict in verdicts.leaks.items()
        for gain in (verdicts.leaked_gains[first, second],)
    }
    differences = {
        f"{first}-{second}": _verdict(verdict) | {"direction": verdicts.claimed((first, second))}
        for (first, second), verdict in verdicts.differences.items()
    }
    return {"subset": verdicts.subset, "differences": differences, "added_by_leaks": leaks}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "direction": verdict.direction,
        **_named_ends(verdict.estimate),
        "p": verdict.p_value,
        "p_holm": verdict.adjusted_p_value,
        "smallest_shown": verdict.smallest_shown,
    }


def _measures(measures: Measures) -> dict[str, Any]:
    """The scores beside accuracy by group and model, as the tables show them."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for (group, model), above in measures.above_chance.items():
        found.setdefault(group, {})[model] = {
            "chance_corrected": _named_ends(above.estimate),
            "p_chance": above.p_value,
            "p_chance_holm": above.adjusted_p_value,
        }
    for (group, model, normalise), accuracy in measures.normalised.items():
        if accuracy.estimate is not None:
            found[group][model][METRIC_OF[normalise]] = _named_ends(accuracy.estimate)
    for (group, model), calibration in measures.calibration.items():
        found[group][model] |= {
            "calibration_error": calibration.error.value,
            "calibration_error_by_luck": calibration.error.by_luck,
            "excess_confidence": _named_ends(calibration.excess),
            "brier_score": _named_ends(calibration.brier),
            "probability_of_letters": calibration.on_letters,
            "most_given": dict(zip(("letter", "share"), calibration.most_given, strict=True)),
        }
    return {"subset": measures.subset, "groups": found}


def _contamination(evidence: Evidence) -> dict[str, Any]:
    contamination = evidence.contamination
    return {
        "threshold": contamination.threshold,
        "close_match": evidence.close_match,
        "items_of_stem_only": contamination.num_stems,
        "benchmarks": {
            share.benchmark: {"items": share.num_items, "contaminated": share.num_contaminated}
            for share in contamination.benchmarks
        },
        "sources": {s.source: {"pairs": s.num_pairs, "items": s.num_items} for s in contamination.sources},
        "labels": {
            share.label.value: {"pairs": asdict(share.pairs), "items": share.num_items}
            for share in contamination.labels
        },
        "detectors": asdict(contamination.detected),
        "by_threshold": list(map(_threshold_row, evidence.thresholds)),
        "with_words": evidence.with_words and _threshold_row(evidence.with_words),
    }


def _threshold_row(row: ThresholdRow) -> dict[str, Any]:
    return {
        "threshold": row.threshold,
        "contaminated": row.num_contaminated,
        **{model: _named_ends(accuracy.estimate) for model, accuracy in row.accuracies.items()},
    }
