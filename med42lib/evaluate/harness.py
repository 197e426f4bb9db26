"""Items in, lm-eval's scores out; with `generation`, the modules that know lm-eval.

Tasks are made here from the mirrored items, so nothing is looked up on a hub and no dataset script runs. Called is
`lm_eval.evaluator.evaluate`, not `simple_evaluate` around it: that one also reads lm-eval's 14,000 task files and asks
pip and the system for versions, 24 seconds here, and adds nothing to the scores.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from lm_eval.evaluator import evaluate as run_lm_eval

from med42lib.core.errors import DataError
from med42lib.core.excerpts import quoted
from med42lib.core.log import log
from med42lib.core.progress import progress
from med42lib.evaluate.answers import Answered, Answers, Request
from med42lib.evaluate.batches import WHOLE, Batch, Share, in_batches
from med42lib.evaluate.config import AskingConfig
from med42lib.evaluate.generation import GeneratingModel, GenerationTask, MirroredTask
from med42lib.evaluate.journal import Memory
from med42lib.evaluate.prompts import PromptedItem, Scoring, make_prompt, scorings
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
    config: AskingConfig,
    memory: Memory | None = None,
) -> list[Score]:
    """Score a model on items of any benchmarks.

    Args:
        items: At least one item; ids are unique.
        model: A `PreTrainedModel` or `PeftModel`, on its device.
        tokenizer: The model's tokenizer, as training used it.
        config: How to ask and how to compare the answers.
        memory: Keeps answers while it goes on, and knows those of an earlier attempt or of shards.

    Returns:
        One score per item, in the items' order.

    Raises:
        DataError: If a log-likelihood is not a finite number, or an answer cannot be scored with this tokenizer
            or does not fit the model.
    """
    lm = ScoringModel(model, tokenizer, config.batch_size, memory)
    how = scorings(items, config)
    tasks = _tasks(items, how, config, tokenizer)
    results = run_lm_eval(lm, {"tasks": tasks, "groups": {}, "group_map": {}}, bootstrap_iters=0)
    scores = dict(_read_samples(results["samples"], {item.id: item for item in items}, lm, how))
    return [scores[item.id] for item in items]


def answer_share(
    items: Sequence[BenchmarkItem],
    model: Any,
    tokenizer: Any,
    config: AskingConfig,
    share: Share,
    memory: Memory | None = None,
) -> Answers:
    """Answer one shard's share of what `score_items` would, to the same bits.

    Raises:
        DataError: If an answer cannot be scored with this tokenizer or does not fit the model.
    """
    lm = ScoringModel(model, tokenizer, config.batch_size, memory, share)
    tasks = _tasks(items, scorings(items, config), config, tokenizer).values()
    for task in tasks:
        task.build_all_requests()
    instances = [instance for task in tasks for instance in task.instances]
    lm.loglikelihood([instance for instance in instances if instance.request_type == "loglikelihood"])
    lm.generate_until([instance for instance in instances if instance.request_type == "generate_until"])
    return Answers(lm.requests, lm.answers, lm.written)


def _tasks(
    items: Sequence[BenchmarkItem], how: Mapping[str, Scoring], config: AskingConfig, tokenizer: Any
) -> dict[str, MirroredTask]:
    tokens = control_tokens(tokenizer)
    of_each = {name: [item for item in items if item.benchmark == name] for name in how}
    return {
        name: BenchmarkTask(name, own, how[name], config, tokens) if how[name].normalise else GenerationTask(name, own)
        for name, own in of_each.items()
    }


def _read_samples(
    samples: Mapping[str, list[dict[str, Any]]],
    items: Mapping[str, BenchmarkItem],
    lm: ScoringModel,
    how: Mapping[str, Scoring],
) -> Iterator[tuple[str, Score]]:
    for rows in samples.values():
        for row in rows:
            item = items[row["doc"]["id"]]
            normalise = how[item.benchmark].normalise
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


class BenchmarkTask(MirroredTask):
    """One benchmark of questions with options."""

    def __init__(
        self,
        benchmark: str,
        items: Sequence[BenchmarkItem],
        how: Scoring,
        config: AskingConfig,
        tokens: tuple[str, ...],
    ) -> None:
        system = as_text(config.system, tokens)
        said = [_as_text(item, tokens) for item in items]
        asked = [make_prompt(item, prompt=config.prompt, scoring=how.scoring, system=system) for item in said]
        super().__init__(
            benchmark,
            [_document(item, question) for item, question in zip(items, asked, strict=True)],
            output_type="multiple_choice",
            doc_to_choice="answers",
            doc_to_target="gold",
            target_delimiter=how.delimiter,
            metric_list=[{"metric": how.metric, "aggregation": "mean", "higher_is_better": True}],
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


_NATS = {True: 1e-3, False: 0.5}
"""How far a log-likelihood may lie from lm-eval's, in float32 and in a coarser format."""


class ScoringModel(GeneratingModel):
    """lm-eval's Hugging Face model, which scores batch by batch, and of a shard its own batches alone.

    Once it was asked, `requests` are the distinct ones, in their order, `answers` those to its share, and `truncated`
    what did not fit.
    """

    def __init__(
        self, model: Any, tokenizer: Any, batch_size: int, memory: Memory | None = None, share: Share = WHOLE
    ) -> None:
        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        super().__init__(
            pretrained=model,
            tokenizer=tokenizer,
            backend="causal",
            batch_size=batch_size,
            softmax_dtype="float32",
        )
        self.truncated: set[tuple[str, str]] = set()
        self.requests: list[Request] = []
        self.answers: dict[Request, Answered] = {}
        self._memory, self._share = memory, share
        self._ends_itself = tokenizer("A")["input_ids"][-1] == tokenizer.eos_token_id

    def tok_encode(self, string: str, *args: Any, **kwargs: Any) -> list[int]:
        """Tokenise as `pack` does; the end token that some tokenizers add belongs after the answer, not before."""
        ids: list[int] = super().tok_encode(string, *args, **kwargs)
        return ids[:-1] if self._ends_itself else ids

    def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """Score requests without lm-eval's own bars; gives the answers to this share's alone."""
        scored: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=True)
        return scored

    def _loglikelihood_tokens(
        self, requests: list[TokenisedRequest], disable_tqdm: bool = True, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        asked = [Request(tuple(prompt), tuple(answer)) for _, prompt, answer in requests]
        for (texts, _, _), request in zip(requests, asked, strict=True):
            self._check_answer_fits(texts, request)
            if not self._fits(request):
                self.truncated.add(texts)
        self.requests = list(dict.fromkeys(asked))
        self.answers = self._answer()
        found = (self.answers.get(request) for request in asked)
        return [(answer.loglikelihood, answer.is_greedy) for answer in found if answer]

    def _answer(self) -> dict[Request, Answered]:
        answers = self._memory.read(self.requests) if self._memory else {}
        if answers.keys() >= set(self.requests):
            return answers
        batches = self._share.of(self._batches())
        with progress("scoring", sum(batch.num_inputs for batch in batches), unit="sequences") as bar:
            for batch in batches:
                if not answers.keys() >= set(batch.requests):
                    answers.update(batch.scorer(batch.requests))
                    if self._memory:
                        self._memory.keep(answers, self.requests)
                bar.advance(batch.num_inputs)
        return answers

    def _batches(self) -> list[Batch]:
        """Put all requests into batches, the same in every shard."""
        fitting = [request for request in self.requests if self._fits(request)]
        together = SharedPromptScorer(self.model, fitting) if fitting and can_share_prompts(self.model) else None
        if together and not self._agree(together, fitting):
            log("evaluate").warning(
                "this model gives other numbers when prompts are shared: each is read for each answer"
            )
            together = None
        alone = [request for request in self.requests if not (together and self._fits(request))]
        shared = in_batches(fitting, self.batch_size, together.score) if together else ()
        return [*shared, *in_batches(alone, self.batch_size, self._scored_by_lm_eval)]

    def _agree(self, together: SharedPromptScorer, requests: Sequence[Request]) -> bool:
        """Try whether sharing gives lm-eval's numbers, with the longest and the shortest prompt."""
        longest, shortest = (choose(requests, key=lambda request: len(request.prompt)).prompt for choose in (max, min))
        tried = [request for request in requests if request.prompt in (longest, shortest)]
        theirs = self._scored_by_lm_eval(tried)
        tolerance = _NATS[self.model.dtype == torch.float32]
        return all(
            abs(answer.loglikelihood - theirs[request].loglikelihood) <= tolerance
            for batch in in_batches(tried, self.batch_size, together.score)
            for request, answer in batch.scorer(batch.requests).items()
        )

    def _scored_by_lm_eval(self, requests: Sequence[Request]) -> dict[Request, Answered]:
        """Score each prompt anew for each answer of several tokens; cuts off the beginning of what does not fit."""
        tokenised = [(("", ""), list(request.prompt), list(request.answer)) for request in requests]
        found = super()._loglikelihood_tokens(tokenised, disable_tqdm=True)
        return {request: Answered(*answer) for request, answer in zip(requests, found, strict=True)}

    def _fits(self, request: Request) -> bool:
        """Say whether the model takes all that it would read."""
        return len(request.read) <= int(self.max_length)

    def _check_answer_fits(self, texts: tuple[str, str], request: Request) -> None:
        if not 0 < len(request.answer) <= self.max_length:
            raise DataError(
                f"the answer {quoted(texts[1])} is {len(request.answer)} tokens long; the model takes 1 to "
                f"{self.max_length:,}"
            )
