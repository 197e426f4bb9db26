import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from torch._subclasses import fake_tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    MixtralConfig,
    OPTConfig,
    PreTrainedConfig,
)

from med42lib.core.log import log
from med42lib.evaluate import shared_prompt
from med42lib.evaluate.answers import Answered, Request
from med42lib.evaluate.batches import in_batches
from med42lib.evaluate.config import EvaluateConfig
from med42lib.evaluate.harness import score_items
from med42lib.evaluate.shared_prompt import SharedPromptScorer, can_share_prompts
from med42lib.formats.records import BenchmarkItem
from tests.evaluate.test_harness import Load, Settings, loglikelihood

SIZE = {"vocab_size": 50, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None, "initializer_range": 0.3}
LLAMA = {**SIZE, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    "llama": lambda: LlamaConfig(**LLAMA),
    "learned positions": lambda: GPT2Config(**SIZE, n_embd=16, n_layer=2, n_head=2),
    "positions of the mask": lambda: OPTConfig(
        **(SIZE | {"pad_token_id": 1}), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, ffn_dim=16
    ),
    "no positions": lambda: BloomConfig(**SIZE, hidden_size=16, n_layer=2, n_head=2),
    "parallel layers": lambda: GPTNeoXConfig(**LLAMA),
    "a window of 8 tokens": lambda: MistralConfig(**LLAMA, num_key_value_heads=1, sliding_window=8),
    "a window in every other layer": lambda: Gemma2Config(**LLAMA, num_key_value_heads=1, head_dim=8, sliding_window=8),
    "mixture of experts": lambda: MixtralConfig(**LLAMA, num_key_value_heads=1, num_local_experts=4),
}


def make_model(config: PreTrainedConfig) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


def some_requests(beginning: int, lengths: tuple[int, ...], answers: tuple[int, ...]) -> list[Request]:
    """Each prompt with answers of such lengths; prompts begin alike."""
    tokens = random.Random(7)
    shared = tuple(tokens.choices(range(2, 50), k=beginning))
    prompts = [shared + tuple(tokens.choices(range(2, 50), k=length)) for length in lengths]
    said = {prompt: [tuple(tokens.choices(range(2, 50), k=length)) for length in answers] for prompt in prompts}
    return [Request(prompt, answer) for prompt in prompts for answer in said[prompt]]


def score(model: Any, requests: list[Request], batch_size: int) -> list[Answered]:
    """Score all requests, batch by batch; gives their answers in the requests' order."""
    answers: dict[Request, Answered] = {}
    for batch in in_batches(requests, batch_size, SharedPromptScorer(model, requests).score):
        answers.update(batch.scorer(batch.requests))
    return [answers[request] for request in requests]


@pytest.mark.parametrize("architecture", CONFIGS)
@pytest.mark.parametrize(
    ("beginning", "answers", "batch_size"),
    [(6, (1, 5, 3), 8), (0, (2, 2), 3), (12, (1, 1, 1), 2), (1, (4,), 1)],
    ids=["texts", "nothing in common", "letters", "one at a time"],
)
def test_loglikelihoods_are_those_of_each_answer_read_alone(
    architecture: str, beginning: int, answers: tuple[int, ...], batch_size: int
) -> None:
    model = make_model(CONFIGS[architecture]())
    assert can_share_prompts(model)
    requests = some_requests(beginning, (9, 1, 14, 9, 3), answers)
    found = score(model, requests, batch_size)
    expected = [loglikelihood(model, list(each.prompt), list(each.answer)) for each in requests]
    assert [each.loglikelihood for each in found] == pytest.approx(expected, abs=1e-4)


def test_an_answer_is_greedy_if_the_model_would_have_written_it() -> None:
    model = make_model(LlamaConfig(**LLAMA))
    prompt = (5, 9, 33)
    written = model.generate(torch.tensor([prompt]), max_new_tokens=3, do_sample=False, eos_token_id=None)[0, 3:]
    liked = tuple(written.tolist())
    other = (*liked[:2], (liked[2] + 1) % 50)
    found = score(model, [Request(prompt, liked), Request(prompt, other)], 4)
    assert [each.is_greedy for each in found] == [True, False]


def test_what_requests_have_in_common_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(LlamaConfig(**LLAMA))
    requests = some_requests(100, (20, 20, 20), (5, 5, 5, 5))
    read: list[int] = []
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda ids, **others: read.append(ids.numel()) or forward(ids, **others))
    score(model, requests, 4)
    # The beginning; of each of three prompts what follows it, but one token; that token and four of each answer.
    assert sum(read) == 100 + 3 * 19 + 3 * 4 * 5


class OneDeviceOrCpu(TorchDispatchMode):
    """torch's rule for indices on GPUs, which tensors without values are not held to; all its other rules they are."""

    def __torch_dispatch__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if call is torch.ops.aten.index.Tensor:
            allowed = (torch.device("cpu"), args[0].device)
            assert all(index is None or index.device in allowed for index in args[1])
        return call(*args, **(kwargs or {}))


def spread_over_two_gpus(model: Any) -> Any:
    """Put the second half of a Llama on another GPU than the first, as accelerate does; its weights have no values."""
    halves = {"model.embed_tokens": 0, "model.rotary_emb": 0, "model.layers.0": 0}
    for name, gpu in (halves | {"model.layers.1": 1, "model.norm": 1, "lm_head": 1}).items():
        for module in model.get_submodule(name).modules():
            for key, weight in module.named_parameters(recurse=False):
                setattr(module, key, torch.nn.Parameter(torch.empty_like(weight, device=f"cuda:{gpu}")))
            for key, buffer in module.named_buffers(recurse=False):
                setattr(module, key, torch.empty_like(buffer, device=f"cuda:{gpu}"))
        add_hook_to_module(model.get_submodule(name), AlignDevicesHook(f"cuda:{gpu}", skip_keys="past_key_values"))
    return add_hook_to_module(model, AlignDevicesHook("cuda:0", io_same_device=True, skip_keys="past_key_values"))


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
def test_a_model_may_be_spread_over_several_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without values nothing is added up; and torch works out tensors of one value or none, on a GPU that must be there.
    monkeypatch.setattr(shared_prompt, "_answered", lambda logits_TV, answer: logits_TV.shape)
    monkeypatch.setattr(fake_tensor, "CONSTANT_NUMEL_LIMIT", -1)
    with fake_tensor.FakeTensorMode(allow_non_fake_inputs=True), OneDeviceOrCpu():
        model = spread_over_two_gpus(make_model(LlamaConfig(**LLAMA)))
        assert {str(weight.device) for weight in model.parameters()} == {"cuda:0", "cuda:1"}
        assert can_share_prompts(model)
        for answers in ((5, 3), (1, 1)):
            requests = some_requests(6, (9, 4), answers)
            assert score(model, requests, 4) == [(len(request.answer), 50) for request in requests]


def test_a_model_that_keeps_a_state_is_scored_by_lm_eval(
    items: list[BenchmarkItem], base: Any, load: Load, settings: Settings
) -> None:
    _, tokenizer = load(base)
    model = make_model(MambaConfig(**(SIZE | {"vocab_size": len(tokenizer)}), hidden_size=16, num_hidden_layers=2))
    assert not can_share_prompts(model)
    assert len(score_items(items, model, tokenizer, settings(scoring="texts"))) == len(items)


@pytest.mark.parametrize("scoring", ["letters", "texts"])
def test_a_model_that_cannot_go_on_from_its_cache_is_scored_by_lm_eval_and_that_is_said(
    items: list[BenchmarkItem],
    base: Any,
    load: Load,
    settings: Callable[..., EvaluateConfig],
    monkeypatch: pytest.MonkeyPatch,
    scoring: str,
) -> None:
    model, tokenizer = load(base)
    expected = score_items(items, model, tokenizer, settings(scoring=scoring))
    forward, said = model.forward, list[str]()

    def forgetful(*ids: Any, past_key_values: Any = None, **others: Any) -> Any:
        """Counts positions from 0 again."""
        if past_key_values is not None:
            length = (ids[0] if ids else others["input_ids"]).shape[1]
            others |= {"position_ids": torch.arange(length)[None]}
        return forward(*ids, past_key_values=past_key_values, **others)

    monkeypatch.setattr(model, "forward", forgetful)
    monkeypatch.setattr(log("evaluate"), "warning", said.append)
    found = score_items(items, model, tokenizer, settings(scoring=scoring))
    assert [each.loglikelihoods for each in found] == [
        pytest.approx(each.loglikelihoods, abs=1e-4) for each in expected
    ]
    assert said == ["this model gives other numbers when prompts are shared: each is read for each answer"]
