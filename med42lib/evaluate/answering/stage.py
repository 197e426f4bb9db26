"""answer_questions: one shard's share of the answers that evaluate marks."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from med42lib.core.environment import OFFLINE
from med42lib.core.log import log
from med42lib.engine.context import StageContext
from med42lib.evaluate.answering.config import AnswerQuestionsConfig
from med42lib.evaluate.answering.shards import work_of, write_shard
from med42lib.evaluate.batches import Share
from med42lib.evaluate.choice import read_chosen
from med42lib.evaluate.journal import Journal
from med42lib.evaluate.locate import locate_model
from med42lib.store.artifacts import Source, Target


def answer_questions(
    config: AnswerQuestionsConfig, *, items: Source, base: Source, model: Source, answers: Target, context: StageContext
) -> None:
    """Answer one shard's share of the questions that a model is asked, for evaluate to mark.

    A pipeline has this task only where `evaluate.shards` is more than 1, and then that many times for each model.
    Shards need nothing of one another, run in any order and are reused one by one. All of them make the same batches,
    and each of n scores every n-th, so that scores are the same to the byte for every number of them on machines of
    one kind; another GPU, or another sort or number of cores, may round differently.

    Args:
        config: Which share, and how to ask.
        items: Output of `benchmarks`.
        base: Output of `fetch_model`; read only if `model` holds an adapter.
        model: Output of `fetch_model` or `train`.
        answers: Receives the log-likelihoods of this shard's answers, and those that the model wrote.
        context: Keeps answers while it goes on, so that a run that was killed goes on behind them.

    Raises:
        DataError: If items or model are missing, incomplete or broken.
        ConfigError: If the settings name a benchmark that has no item.
    """
    chosen = read_chosen(items, config)
    folders = locate_model(model, base)
    os.environ.update(OFFLINE)

    from med42lib.evaluate.harness import answer_share
    from med42lib.evaluate.loading import load_model

    log("answer_questions").info("loading %s", model.address)
    loaded, tokenizer = load_model(folders, config.precision)
    with tempfile.TemporaryDirectory(prefix=".journal-", dir=answers.folder.parent) as scratch:
        journal = Journal(context.checkpoints, Path(scratch))
        share = Share(config.shard, config.shards)
        found = answer_share(chosen, loaded, tokenizer, config, share, journal)
    write_shard(answers.folder, found, work=work_of(config, items=items, base=base, model=model))
    answers.rows = len(found.loglikelihoods) + len(found.written)
    answers.metric("answers", answers.rows)
    log("answer_questions").info("%s answers are this shard's", f"{answers.rows:,}")
