"""Score one model on the benchmark items with lm-eval."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from med42lib.core.config import SPEED_ONLY
from med42lib.core.environment import OFFLINE
from med42lib.core.json_file import write_json
from med42lib.core.log import log
from med42lib.engine.context import StageContext
from med42lib.evaluate.answering.shards import ShardAnswers, work_of
from med42lib.evaluate.choice import read_chosen
from med42lib.evaluate.config import EvaluateConfig
from med42lib.evaluate.journal import Journal
from med42lib.evaluate.locate import locate_model
from med42lib.evaluate.prompts import lm_eval_task, scorings
from med42lib.evaluate.scores import summarise
from med42lib.formats.prompt import MultipleChoice, as_text
from med42lib.formats.scores import SCORES_FILE, SCORES_SUMMARY_FILE, Normalise, write_scores
from med42lib.store.artifacts import Source, Sources, Target


def evaluate(
    config: EvaluateConfig,
    *,
    items: Source,
    base: Source,
    model: Source,
    answers: Annotated[Sources, SPEED_ONLY],
    scores: Target,
    context: StageContext,
) -> None:
    """Score a model: the base itself, a full fine-tune, or a LoRA adapter on top of the base.

    Args:
        config: How to ask and how to compare the answers.
        items: Output of `benchmarks`.
        base: Output of `fetch_model`; read only if `model` holds an adapter.
        model: Output of `fetch_model` or `train`.
        answers: What each shard has answered, and then no weights are loaded; with none the model is asked here.
        scores: Receives `scores.jsonl`, one row per scored item in the items' order, and `summary.json`.
        context: Keeps answers while it goes on, so that a run that was killed goes on behind them.

    Raises:
        DataError: If items or model are missing, incomplete or broken, shards have answered something else or not
            all, or a log-likelihood is not a number.
        ConfigError: If the settings name a benchmark that has no item.
    """
    chosen = read_chosen(items, config)
    _warn_of_other_scoring(config, dict.fromkeys(item.benchmark for item in chosen))
    folders = locate_model(model, base, weights=not answers)
    _warn_of_other_system(config, folders.adapter or folders.weights)
    os.environ.update(OFFLINE)

    from med42lib.evaluate.harness import score_items
    from med42lib.evaluate.loading import load_model, load_outline

    log("evaluate").info("%s %s", "marking what shards have answered of" if answers else "loading", model.address)
    loaded, tokenizer = load_outline(folders) if answers else load_model(folders, config.precision)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=".journal-", dir=scores.folder.parent) as scratch:
        journal = Journal(context.checkpoints, Path(scratch))
        answered = ShardAnswers(answers, work=work_of(config, items=items, base=base, model=model))
        rows = score_items(chosen, loaded, tokenizer, config, answered if answers else journal)
    seconds = time.monotonic() - started

    write_scores(scores.path(SCORES_FILE), rows)
    _report(summarise(rows, scorings(chosen, config)), seconds, scores)


def _warn_of_other_scoring(config: EvaluateConfig, benchmarks: Iterable[str]) -> None:
    """Name the benchmarks whose figures are not those of lm-eval's tasks, though the prompt is theirs."""
    for benchmark in benchmarks if config.prompt == "plain" else ():
        task, how = lm_eval_task(benchmark), config.scoring_of(benchmark)
        ours = _in_a_spec(how.scoring, how.normalise)
        theirs = list(dict.fromkeys(_in_a_spec(task.scoring, normalise) for normalise in task.normalise))
        if task.name and ours not in theirs:
            log("evaluate").warning(
                "%s is scored by %s, but lm-eval's %s by %s, so that the figures cannot be compared; set "
                "evaluate.benchmarks.%s: %s",
                *(benchmark, ours, task.name, " or ".join(theirs), benchmark, theirs[0]),
            )


def _in_a_spec(scoring: MultipleChoice, normalise: Normalise) -> str:
    """Write a scoring as specs have it; letters are one byte each, whatever divides them."""
    return "{scoring: letters}" if scoring == "letters" else f"{{scoring: {scoring}, normalise: {normalise}}}"


def _warn_of_other_system(config: EvaluateConfig, folder: Path) -> None:
    """Say where a fine-tune is asked behind another system text than most of its training data have."""
    from med42lib.formats.chat_template import taught_system

    taught = taught_system(folder) if config.prompt == "med42" else None
    if taught is not None and taught != as_text(config.system):
        log("evaluate").warning(
            "evaluate.system is %r, but most training data of this model have %r", config.system, taught
        )


def _report(summary: dict[str, dict[str, Any]], seconds: float, scores: Target) -> None:
    write_json(scores.path(SCORES_SUMMARY_FILE), summary)
    scores.rows = sum(values["items"] for values in summary.values())
    truncated = sum(values["truncated"] for values in summary.values())
    for benchmark, values in summary.items():
        scores.metric(f"accuracy/{benchmark}", values["accuracy"])
    scores.metric("truncated_items", truncated)
    scores.metric("items_per_second", scores.rows / seconds)
    log("evaluate").info(
        "scored %s items in %.0f s, %s of them too long for the model; accuracy: %s",
        f"{scores.rows:,}",
        seconds,
        f"{truncated:,}",
        ", ".join(f"{name} {100 * values['accuracy']:.1f} %" for name, values in summary.items()),
    )
