"""Items in, lm-eval's scores out; with `generation`, the modules that know lm-eval.

Tasks are made here from the mirrored items, so nothing is looked up on a hub and no dataset script runs. Called is
`lm_eval.evaluator.evaluate`, not `simple_evaluate` around it: that one also reads lm-eval's 14,000 task files and asks
pip and the system for versions, 24 seconds here, and adds nothing to the scores.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import datasets
import torch
from lm_eval.evaluator import evaluate as run_lm_eval

from med42lib.core.errors import DataError
from med42lib.core.log import log
from med42lib.core.progress import progress
from med42lib.evaluate.answers import Request
from med42lib.evaluate.config import EvaluateConfig
from med42lib.evaluate.generation import GeneratingModel, GenerationTask, QuietTask
from med42lib.evaluate.journal import Journal
from med42lib.evaluate.prompts import PromptedItem, make_prompt, scoring_of
from med42lib.evaluate.scores import score_item
from med42lib.evaluate.shared_prompt import SharedPromptScorer, can_share_prompts
from med42lib.formats.prompt import as_text
from med42lib.formats.records import BenchmarkItem
from med42lib.formats.scores import METRIC_OF, Score
from med42lib.formats.tokenizer_loading import control_tokens


def score_items(
    items: Sequence[BenchmarkItem],
    model: Any,
    tokenizer: Any,
    config: EvaluateConfig,
    journal: Journal | None = None,
) -> list[Score]:
    """Score a model on items of any benchmarks.

    Args:
        items: At least one item; ids are unique.
        model: A `PreTrainedModel` or `PeftModel`, on its device.
        tokenizer: The model's tokenizer, as training used it.
        config: How to ask and how to compare the answers.
        journal: Keeps answers while it goes on, and knows those of an earlier attempt.

    Returns:
        One score per item, in the items' order.

    Raises:
        DataError: If a log-likelihood is not a finite number, or an answer cannot be scored with this tokenizer
            or does not fit the model.
    """
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    groups: dict[str, list[BenchmarkItem]] = defaultdict(list)
    for item in items:
        groups[item.benchmark].append(item)
    lm = ScoringModel(model, tokenizer, config.batch_size, journal)
    tokens = control_tokens(tokenizer)
    tasks = {
        benchmark: GenerationTask(benchmark, group)
        if group[0].generation
        else BenchmarkTask(benchmark, group, config, tokens)
        for benchmark, group in groups.items()
    }
    results = run_lm_eval(lm, {"tasks": tasks, "groups": {}, "group_map": {}}, bootstrap_iters=0)
    scores = dict(_read_samples(results["samples"], {item.id: item for item in items}, lm, config))
    return [scores[item.id] for item in items]


def _read_samples(
    samples: Mapping[str, list[dict[str, Any]]],
    items: Mapping[str, BenchmarkItem],
    lm: ScoringModel,
    config: EvaluateConfig,
) -> Iterator[tuple[str, Score]]:
    for rows in samples.values():
        for row in rows:
            item = items[row["doc"]["id"]]
            normalise = scoring_of(item, config).normalise
            if normalise is None:
                yield item.id, lm.score_generated(item, row)
                continue
            score = score_item(
                item,
                row["doc"]["answers"],
                [loglikelihood for loglikelihood, _ in row["filtered_resps"]],
                normalise=normalise,
                truncated=any(tuple(pair) in lm.truncated for pair in row["arguments"]),
            )
            if score.correct != bool(row[METRIC_OF[normalise]]):
                raise AssertionError(f"lm-eval and this stage disagree on item {score.item_id}: {row}")
            yield score.item_id, score


class BenchmarkTask(QuietTask):
    """One benchmark as an lm-eval task, its questions already written out."""

    def __init__(
        self, benchmark: str, items: Sequence[BenchmarkItem], config: EvaluateConfig, tokens: tuple[str, ...]
    ) -> None:
        how, system = scoring_of(items[0], config), as_text(config.system, tokens)
        said = [_as_text(item, tokens) for item in items]
        asked = [make_prompt(item, prompt=config.prompt, scoring=how.scoring, system=system) for item in said]
        rows = [_document(item, question) for item, question in zip(items, asked, strict=True)]
        super().__init__(
            config={
                "task": benchmark,
                "custom_dataset": lambda: {"test": datasets.Dataset.from_list(rows)},
                "test_split": "test",
                "output_type": "multiple_choice",
                "doc_to_text": "context",
                "doc_to_choice": "answers",
                "doc_to_target": "gold",
                "target_delimiter": how.delimiter,
                "num_fewshot": 0,
                "metric_list": [{"metric": how.metric, "aggregation": "mean", "higher_is_better": True}],
            }
        )


def _as_text(item: BenchmarkItem, tokens: tuple[str, ...]) -> BenchmarkItem:
    """Break what the model would read as a control token, or as a turn of its own, in an item's texts.

    The prompt of a task of lm-eval is its author's own: it may be meant so, and lm-eval leaves it as it is.
    """
    if item.asked:
        return item
    options = tuple(as_text(option, tokens) for option in item.options)
    return replace(
        item, question=as_text(item.question, tokens), context=as_text(item.context, tokens), options=options
    )


def _document(item: BenchmarkItem, question: PromptedItem) -> dict[str, Any]:
    return {"id": item.id, "context": question.context, "answers": list(question.answers), "gold": list(item.right)}


TokenisedRequest = tuple[tuple[str, str], list[int], list[int]]
"""Prompt and answer as texts, the prompt's tokens, the answer's tokens."""


Scored = dict[tuple[str, str], tuple[float, bool]]
"""By prompt and answer: the log-likelihood in nats, and whether each token was the likeliest."""

_NATS = {True: 1e-3, False: 0.5}
"""How far a log-likelihood may lie from lm-eval's, in float32 and in a coarser format."""


class ScoringModel(GeneratingModel):
    """lm-eval's Hugging Face model, with our progress and with a memory of what did not fit."""

    def __init__(self, model: Any, tokenizer: Any, batch_size: int, journal: Journal | None = None) -> None:
        super().__init__(
            pretrained=model,
            tokenizer=tokenizer,
            backend="causal",
            batch_size=batch_size,
            softmax_dtype="float32",
        )
        self.truncated: set[tuple[str, str]] = set()
        self._journal = journal
        self._ends_itself = tokenizer("A")["input_ids"][-1] == tokenizer.eos_token_id

    def tok_encode(self, string: str, *args: Any, **kwargs: Any) -> list[int]:
        """Tokenise as `pack` does; the end token that some tokenizers add belongs after the answer, not before."""
        ids: list[int] = super().tok_encode(string, *args, **kwargs)
        return ids[:-1] if self._ends_itself else ids

    def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """Score requests without lm-eval's own bars."""
        scored: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=True)
        return scored

    def _loglikelihood_tokens(
        self, requests: list[TokenisedRequest], disable_tqdm: bool = True, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        for request in requests:
            self._check_fits(request)
        whole = [request for request in requests if request[0] not in self.truncated]
        # One-token answers to the same prompt share a forward pass, as lm-eval groups them.
        distinct = {tuple(prompt + answer[:-1]) for _, prompt, answer in requests}
        with progress("scoring", len(distinct), unit="sequences") as self._bar:
            scored = self._scored_together(whole) if whole else {}
            others = [request for request in requests if request[0] not in scored]
            scored |= self._scored_apart(others, override_bs)
        return [scored[texts] for texts, _, _ in requests]

    def _scored_apart(self, requests: list[TokenisedRequest], override_bs: int | None = None) -> Scored:
        answers = super()._loglikelihood_tokens(requests, True, override_bs)
        return dict(zip((texts for texts, _, _ in requests), answers, strict=True))

    def _scored_together(self, requests: list[TokenisedRequest]) -> Scored:
        """Score each prompt once for all its answers; nothing, if this model does not give lm-eval's numbers so."""
        if not can_share_prompts(self.model):
            return {}
        scorer = SharedPromptScorer(self.model, self.batch_size)
        longest, shortest = (choose(requests, key=lambda request: len(request[1]))[1] for choose in (max, min))
        tried = [request for request in requests if request[1] in (longest, shortest)]
        if not self._agree(_together(scorer, tried, lambda _: None), self._scored_apart(tried)):
            log("evaluate").warning(
                "this model gives other numbers when prompts are shared: each is read for each answer"
            )
            return {}
        return _together(scorer, requests, self._bar.advance, self._journal)

    def _agree(self, ours: Scored, lm_eval: Scored) -> bool:
        tolerance = _NATS[self.model.dtype == torch.float32]
        return all(abs(ours[texts][0] - lm_eval[texts][0]) <= tolerance for texts in lm_eval)

    def _check_fits(self, request: TokenisedRequest) -> None:
        """Note a request whose beginning lm-eval will cut off; the answer's last token is never read."""
        texts, prompt, answer = request
        if not 0 < len(answer) <= self.max_length:
            raise DataError(
                f"the answer {texts[1]!r} is {len(answer)} tokens long; the model takes 1 to {self.max_length:,}"
            )
        if len(prompt) + len(answer) > self.max_length + 1:
            self.truncated.add(texts)

    def _model_call(self, inps: Any, attn_mask: Any = None, labels: Any = None) -> Any:
        logits = super()._model_call(inps, attn_mask, labels)
        self._bar.advance(inps.shape[0])
        return logits


def _together(
    scorer: SharedPromptScorer,
    requests: list[TokenisedRequest],
    advance: Callable[[int], None],
    journal: Journal | None = None,
) -> Scored:
    asked = [Request(tuple(prompt), tuple(answer)) for _, prompt, answer in requests]
    answers = scorer.score(asked, advance, journal)
    return {texts: (each.loglikelihood, each.is_greedy) for (texts, _, _), each in zip(requests, answers, strict=True)}
