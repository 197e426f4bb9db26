"""Log-likelihoods of answers, with what requests have in common read once.

lm-eval reads prompt and answer anew for each answer of several tokens. Here the beginning that all prompts share is
read once, each prompt once for all of its answers, and logits are made at the answers alone. A batch is cut where its
shortest prompt ends: before that nothing is padded, and behind it padding stands last, where a causal model does not
read it. So neither masks nor positions are needed, whatever the architecture, as long as its cache can be copied.

Shape key:
    P: prompts of a batch
    N: distinct inputs behind the cut, the tails, of a batch
    T: tokens
    V: tokens of the vocabulary
"""

from __future__ import annotations

import copy
import inspect
import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from med42lib.evaluate.answers import Answered, Request, Tokens
from med42lib.evaluate.journal import Journal

_PADDING = 0


class SharedPromptScorer:
    """Scores requests in batches of at most `batch_size` tails; the longest prompts come first."""

    def __init__(self, model: Any, batch_size: int) -> None:
        self._model = model
        self._batch_size = batch_size
        self._keeps = "logits_to_keep" in _parameters(model)

    @torch.inference_mode()
    def score(
        self, requests: Sequence[Request], advance: Callable[[int], None], journal: Journal | None = None
    ) -> list[Answered]:
        """Score requests.

        Args:
            requests: Any number, in any order; what several have in common is read once.
            advance: Is told of each batch how many distinct inputs it had.
            journal: Knows the answers of an earlier attempt, and keeps these. Batches, and so all bits of the answers,
                are the same as without.

        Returns:
            One answer for each request, in their order.
        """
        distinct = list(dict.fromkeys(requests))
        answers = journal.read(distinct) if journal else {}
        shared = _shared_beginning({request.prompt for request in distinct})
        beginning = self._read_beginning(shared)
        for batch in _batches(distinct, self._batch_size):
            if not answers.keys() >= set(batch):
                answers.update(self._score_batch(batch, beginning, len(shared)))
                if journal:
                    journal.keep(answers, distinct)
            advance(len({request.read for request in batch}))
        return [answers[request] for request in requests]

    def _read_beginning(self, shared: Tokens) -> Any:
        return self._read_on([shared], None) if shared else None

    def _score_batch(
        self, batch: Sequence[Request], beginning: Any, num_shared: int
    ) -> Iterator[tuple[Request, Answered]]:
        prompts = list(dict.fromkeys(request.prompt for request in batch))
        reads = list(dict.fromkeys(request.read for request in batch))
        cut, cache = num_shared, _copied(beginning, len(prompts))
        # Where each prompt has one tail, as letters have, one pass reads both.
        if len(reads) > len(prompts):
            cut = min(map(len, prompts)) - 1
            heads = [prompt[num_shared:cut] for prompt in prompts]
            cache = self._read_on(heads, cache) if heads[0] else cache
        if cache is not None:
            row_of = {request.read: prompts.index(request.prompt) for request in batch}
            cache.batch_select_indices(torch.tensor([row_of[read] for read in reads], device=self._model.device))
        first = min(map(len, prompts)) - 1 - cut
        logits_NTV = self._logits([read[cut:] for read in reads], cache, first)
        for request in batch:
            start = len(request.prompt) - 1 - cut - first
            steps_TV = logits_NTV[reads.index(request.read), start : start + len(request.answer)]
            yield request, _answered(steps_TV, request.answer)

    def _read_on(self, ids: Sequence[Tokens], cache: Any) -> Any:
        """Read tokens, as many of each, behind what a cache holds; gives the cache that holds them too."""
        keep = {"logits_to_keep": 1} if self._keeps else {}
        return self._call(ids, cache, use_cache=True, **keep).past_key_values

    def _logits(self, ids: Sequence[Tokens], cache: Any, first: int) -> torch.Tensor:
        """Give logits from a position on, counted behind the cache; shape (N, T - first, V)."""
        longest = max(map(len, ids))
        padded = [tail + (_PADDING,) * (longest - len(tail)) for tail in ids]
        wanted = {"logits_to_keep": torch.arange(first, longest, device=self._model.device)} if self._keeps else {}
        logits_NTV: torch.Tensor = self._call(padded, cache, use_cache=cache is not None, **wanted).logits
        return logits_NTV[:, first - longest :]

    def _call(self, ids: Sequence[Tokens], cache: Any, **options: Any) -> Any:
        return self._model(torch.tensor(ids, device=self._model.device), past_key_values=cache, **options)


def can_share_prompts(model: Any) -> bool:
    """Say whether what a model has read is kept in a cache of keys and values alone, which can be copied."""
    if "past_key_values" not in _parameters(model):
        return False
    with torch.inference_mode():
        ids = torch.tensor([[_PADDING]], device=model.device)
        cache = model(ids, use_cache=True).past_key_values
    layers = getattr(cache, "layers", ())
    return bool(layers) and all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)


def _parameters(model: Any) -> Collection[str]:
    """Name what the model takes; an adapter takes anything and hands it on."""
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    return inspect.signature(whole.forward).parameters


def _copied(cache: Any, times: int) -> Any:
    if cache is None:
        return None
    cache = copy.deepcopy(cache)
    cache.batch_repeat_interleave(times)
    return cache


def _answered(logits_TV: torch.Tensor, answer: Tokens) -> Answered:
    targets_T = torch.tensor(answer, device=logits_TV.device)
    logs_TV = logits_TV.float().log_softmax(-1)
    is_greedy = bool((logs_TV.argmax(-1) == targets_T).all())
    return Answered(float(logs_TV.gather(-1, targets_T[:, None]).sum()), is_greedy)


def _shared_beginning(prompts: Iterable[Tokens]) -> Tokens:
    """Find what all prompts begin with, less than the whole of any: its last token must be read in a batch."""
    prompts = set(prompts)
    first, last = min(prompts), max(prompts)
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return tuple(token for token, _ in same)[: min(map(len, prompts)) - 1]


def _batches(requests: Iterable[Request], batch_size: int) -> Iterator[list[Request]]:
    """Gather requests by prompt, prompts of like length together, until a batch has so many distinct inputs."""
    by_prompt: dict[Tokens, list[Request]] = defaultdict(list)
    for request in requests:
        by_prompt[request.prompt].append(request)
    batch: list[Request] = []
    num_inputs = 0
    for _, group in sorted(by_prompt.items(), key=lambda item: (-len(item[0]), item[0])):
        inputs = len({request.read for request in group})
        if batch and num_inputs + inputs > batch_size:
            yield batch
            batch, num_inputs = [], 0
        batch += group
        num_inputs += inputs
    if batch:
        yield batch
