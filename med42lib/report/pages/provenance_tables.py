"""The tables of how the run was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from med42lib.formats.item_counts import ItemCounts
from med42lib.formats.mixture_table import COUNT_TITLES
from med42lib.formats.packed import PackInfo
from med42lib.formats.recipe import Recipe
from med42lib.formats.written import MISSING, PERCENT, display_name, percent
from med42lib.report.formatting import duration, integer, setting
from med42lib.report.pages.recipe import NOT_RECORDED
from med42lib.report.pages.tables import Cell, Column, Table, TableRow, number_columns, plain_row, text_columns
from med42lib.report.provenance.models import Model
from med42lib.report.provenance.record import FinishedStage, Provenance, TrainingRecord
from med42lib.report.results.baselines import Baseline

_MIXTURE_COUNTS = ("read", "rejected", "excluded", "duplicates", "kept", "target", "sampled")
_QUESTION_COUNTS = {"read": "read", "rejected": "rejected", "excluded": "excluded", "usable": "kept"}
"""The counts of a benchmark's questions, and the count of training examples whose title each shares."""

_COUNT_TITLES = {**COUNT_TITLES, "target": COUNT_TITLES["target_rows"]}


def source_counts_table(provenance: Provenance) -> Table:
    """Tabulate what each training source gave, and its share of the mixture (as Table A1)."""
    counts = [key for key in _MIXTURE_COUNTS if any(key in row for row in provenance.mixture)]
    total = provenance.num_examples
    rows = []
    for row in provenance.mixture:
        share = percent(row["sampled"] / total) if total else MISSING
        rows.append(
            plain_row(provenance.source_title(row["source"]), *(setting(row.get(key)) for key in counts), share)
        )
    sums = [sum(row.get(key, 0) for row in provenance.mixture) if key != "target" else None for key in counts]
    rows.append(plain_row("Total", *(setting(value) for value in sums), percent(1.0), summary=True))
    return Table(
        caption="The training mixture, in examples",
        columns=(*text_columns("Source"), *number_columns([*(_COUNT_TITLES[key] for key in counts), "Share, %"])),
        rows=tuple(rows),
    )


def origin_table(provenance: Provenance) -> Table:
    """Tabulate what the run started from: addresses, contents and the version of the code."""
    rows = [
        plain_row(what, origin.address, origin.digest[:12] if origin.digest else MISSING)
        for what, origin in provenance.origins.items()
    ]
    rows.append(plain_row("Code (med42-suite)", provenance.versions.get("med42-suite", NOT_RECORDED), MISSING))
    return Table(
        caption="What the run started from",
        columns=text_columns("", "Address", "Content"),
        rows=tuple(rows),
        note="Content: the first 12 digits of the SHA-256 of all files there.",
    )


def packing_table(info: PackInfo) -> Table:
    """Tabulate how the examples became training sequences."""
    loss_share = info.num_response_tokens / info.num_tokens
    facts = {
        "Policy": setting(info.policy),
        "Tokens per chunk": integer(info.chunk_length),
        "Chunks": integer(info.num_chunks),
        "Examples": integer(info.num_examples),
        "Tokens": f"{integer(info.num_tokens)} ({percent(info.efficiency)}{PERCENT} of the slots)",
        "Tokens with loss (responses)": f"{integer(info.num_response_tokens)} ({percent(loss_share)}{PERCENT})",
        "Examples left out / cut off": f"{integer(info.num_dropped)} / {integer(info.num_truncated)}",
    }
    if info.num_validation_examples:
        facts["Examples held out for validation"] = integer(info.num_validation_examples)
    return _fact_table("Packing", facts)


def training_table(models: Sequence[Model], training: Mapping[str, TrainingRecord]) -> Table:
    """Tabulate what each fine-tune took and where its loss ended."""
    records = [training[model.name] for model in models]
    recipes = [record.recipe for record in records]
    lines = {
        "Seeds": [_seeds(model, training) for model in models],
        "Trainable parameters": [_trainable(recipe) for recipe in recipes],
        "Optimiser steps": [_recorded(recipe.num_steps if recipe else None) for recipe in recipes],
        "Tokens seen": [_recorded(recipe.num_tokens if recipe else None) for recipe in recipes],
        "of these with loss": [_recorded(recipe.num_response_tokens if recipe else None) for recipe in recipes],
        "Processes": [_processes(recipe) for recipe in recipes],
        "Memory of a process, peak": [_gibibytes(record.peak_memory_gib) for record in records],
        "Loss, first step": [_loss(record.first_loss) for record in records],
        "Loss, last tenth": [_loss(record.final_loss) for record in records],
        **_validation_lines(records),
        "Tokens per second, median": [_recorded(record.tokens_per_second) for record in records],
        "Time": [_time(record.train_seconds) for record in records],
    }
    return _table_by_model("Training", models, lines)


def _processes(recipe: Recipe | None) -> str:
    number = _recorded(recipe.world_size if recipe else None)
    return f"{number} ({recipe.device})" if recipe and recipe.device else number


def _seeds(model: Model, training: Mapping[str, TrainingRecord]) -> str:
    """Write the seeds of a model's trainings; those recorded none are "not recorded"."""
    found = [training[name].settings.get("seed") for name in model.trainings or (model.name,)]
    return ", ".join(NOT_RECORDED if seed is None else str(seed) for seed in found)


def _gibibytes(gib: float | None) -> str:
    return NOT_RECORDED if gib is None else f"{gib:.1f} GiB"


def _validation_lines(records: Sequence[TrainingRecord]) -> dict[str, list[str]]:
    """Say how low the loss on held-out examples was, and when; nothing where none were held out."""
    curves = [record.validation_losses for record in records]
    if not any(curves):
        return {}
    lowest = [min(curve, key=lambda point: point[1], default=None) for curve in curves]
    return {
        "Validation loss, lowest": [_loss(point and point[1]) for point in lowest],
        "after step": [_recorded(point and point[0]) for point in lowest],
        "Validation loss, last": [_loss(curve[-1][1] if curve else None) for curve in curves],
    }


def settings_table(models: Sequence[Model], training: Mapping[str, TrainingRecord]) -> Table:
    """Tabulate every setting that the fine-tunes recorded; what is not equal in all of them is bold."""
    found = [dict(_leaves(training[model.name].settings)) for model in models]
    names = list(dict.fromkeys(name for settings in found for name in settings))
    lines = {name.replace("_", " "): [settings.get(name, MISSING) for settings in found] for name in names}
    return _table_by_model("Settings of the fine-tunes; bold where they differ", models, lines, mark_differences=True)


def _leaves(settings: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", setting(value)


def _table_by_model(
    caption: str, models: Sequence[Model], lines: Mapping[str, Sequence[str]], *, mark_differences: bool = False
) -> Table:
    rows = []
    for name, values in lines.items():
        strong = mark_differences and len(set(values)) > 1
        rows.append(TableRow((Cell(name), *(Cell(value, strong=strong) for value in values))))
    titles = [model.title for model in models]
    return Table(caption, (*text_columns(""), *number_columns(titles)), tuple(rows))


def question_table(provenance: Provenance) -> Table:
    """Tabulate how many of each benchmark's questions were scored, and why others were not."""
    rows = [
        plain_row(
            display_name(name),
            *(setting(counts.get(key)) for key in _QUESTION_COUNTS),
            setting(provenance.scoring.get(name, {}).get("items")),
            _why_not(counts),
        )
        for name, counts in provenance.questions.items()
    ]
    titles = [*(COUNT_TITLES[key] for key in _QUESTION_COUNTS.values()), "Scored"]
    return Table(
        caption="The benchmarks' questions",
        columns=(*text_columns("Benchmark"), *number_columns(titles), *text_columns("Why left out")),
        rows=tuple(rows),
        note=(
            "Rejected: broken, with file and line in rejects.jsonl. Excluded: sound, but cannot be asked in text, or "
            "must not be. Where fewer are scored than usable, a limit drew them."
        ),
    )


def _why_not(counts: ItemCounts) -> str:
    """Say why questions were left out, the most frequent reason first: "67: the question is about an image"."""
    if "absent" in counts:
        return "its files are not there"
    reasons = {**counts.get("rejected_by_reason", {}), **counts.get("excluded_by_reason", {})}
    ranked = sorted(reasons.items(), key=lambda reason: (-reason[1], reason[0]))
    return "; ".join(f"{integer(number)}: {reason}" for reason, number in ranked)


def scoring_table(provenance: Provenance, baselines: Mapping[str, Baseline]) -> Table:
    """Tabulate how each benchmark was scored, and what knowing nothing would score."""
    rows = []
    for name, summary in provenance.scoring.items():
        baseline = baselines.get(name)
        rows.append(
            plain_row(
                display_name(name),
                integer(summary.get("items")),
                setting(summary.get("scoring")),
                setting(summary.get("normalise")),
                setting(summary.get("prompt")),
                percent(baseline.chance if baseline else None),
                percent(baseline.constant if baseline else None),
            )
        )
    return Table(
        caption="How the benchmarks were scored",
        columns=(
            *text_columns("Benchmark"),
            Column("n"),
            *text_columns("Scored", "Divided by", "Prompt"),
            *number_columns(["Guessing, %", "One answer always, %"]),
        ),
        rows=tuple(rows),
        note=(
            "letters: the options are shown and their letters are scored; texts: the options are hidden and their "
            "whole texts are scored; generated: the model writes its answer, and what guessing would score is not "
            "known. None of these are comparable. med42: the prompt format of training; plain: lm-eval's; the task's: "
            "of a task of lm-eval, written by its author. Prompts have no examples where none are named."
        ),
    )


def stage_table(stages: tuple[FinishedStage, ...]) -> Table:
    """Tabulate the stages behind the report in their order, with time and content."""
    rows = [
        plain_row(s.name, duration(s.seconds), integer(s.rows), s.digest[:12], s.created_at[:16].replace("T", " "))
        for s in stages
    ]
    total = sum(stage.seconds for stage in stages)
    rows.append(plain_row("Total", duration(total), "", "", "", summary=True))
    return Table(
        caption="Stages, with the time each took when it last ran",
        columns=(*text_columns("Stage"), *number_columns(["Time", "Rows"]), *text_columns("Content", "Finished (UTC)")),
        rows=tuple(rows),
        note="Content: the first 12 digits of the SHA-256 that names the stage's (first) output.",
    )


def version_table(versions: Mapping[str, str]) -> Table:
    """Tabulate the versions of what the stages ran with."""
    return _fact_table("Versions", versions)


def _fact_table(caption: str, facts: Mapping[str, str]) -> Table:
    rows = tuple(plain_row(name, value) for name, value in facts.items())
    return Table(caption, (*text_columns(""), *number_columns([""])), rows)


def _recorded(value: float | None) -> str:
    return NOT_RECORDED if value is None else integer(value)


def _loss(value: float | None) -> str:
    return NOT_RECORDED if value is None else f"{value:.3f}"


def _time(seconds: float | None) -> str:
    return NOT_RECORDED if seconds is None else duration(seconds)


def _trainable(recipe: Recipe | None) -> str:
    if recipe is None:
        return NOT_RECORDED
    share = recipe.trainable_parameters / recipe.total_parameters
    return f"{integer(recipe.trainable_parameters)} ({share * 100:.3g}{PERCENT})"
