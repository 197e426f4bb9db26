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
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from med42lib.evaluate.answers import Answered, Request, Tokens

_PADDING = 0


class SharedPromptScorer:
    """Scores batches of requests; what the prompts of all `requests` begin with is read once, with the first batch."""

    def __init__(self, model: Any, requests: Iterable[Request]) -> None:
        self._model = model
        self._keeps = "logits_to_keep" in _parameters(model)
        self._shared = _shared_beginning({request.prompt for request in requests})

    @torch.inference_mode()
    def score(self, batch: Sequence[Request]) -> dict[Request, Answered]:
        """Score one batch of them; its prompts are of like length, or much is padding."""
        return dict(self._score(batch))

    @cached_property
    def _beginning(self) -> Any:
        return self._read_on([self._shared], None) if self._shared else None

    def _score(self, batch: Sequence[Request]) -> Iterator[tuple[Request, Answered]]:
        prompts = list(dict.fromkeys(request.prompt for request in batch))
        reads = list(dict.fromkeys(request.read for request in batch))
        cut, cache = len(self._shared), _copied(self._beginning, len(prompts))
        # Where each prompt has one tail, as letters have, one pass reads both.
        if len(reads) > len(prompts):
            cut = min(map(len, prompts)) - 1
            heads = [prompt[len(self._shared) : cut] for prompt in prompts]
            cache = self._read_on(heads, cache) if heads[0] else cache
        if cache is not None:
            row_of = {request.read: prompts.index(request.prompt) for request in batch}
            # Left on the CPU: the layers of a model that is spread over GPUs keep their parts of the cache on theirs.
            cache.batch_select_indices(torch.tensor([row_of[read] for read in reads]))
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
        wanted = {"logits_to_keep": longest - first} if self._keeps else {}
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
