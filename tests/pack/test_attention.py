"""What a real model computes on packed chunks: the evidence for the advice in `med42lib.formats.packed`.

Oracle: the loss of a packed chunk, token by token and summed, against the same samples one at a time.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaForCausalLM

from med42lib.formats.packed import Chunk, PackedDataset
from med42lib.formats.records import Example
from tests.tiny_llama import make_llama

CHUNK_LENGTH = 256
LEAK_NATS = 0.1


@pytest.fixture(scope="module", params=["sdpa", "eager"])
def model(request: pytest.FixtureRequest) -> LlamaForCausalLM:
    torch.manual_seed(0)
    llama = make_llama(
        vocab_size=400,
        num_key_value_heads=2,
        max_position_embeddings=CHUNK_LENGTH,
        initializer_range=0.3,
        attn_implementation=request.param,
    )
    return llama.eval()


def batch(*chunks: Chunk) -> dict[str, torch.Tensor]:
    names = {"input_ids": "input_ids_L", "labels": "labels_L", "position_ids": "position_ids_L"}
    return {name: torch.stack([torch.from_numpy(getattr(c, a)) for c in chunks]) for name, a in names.items()}


def token_losses(model: LlamaForCausalLM, inputs: dict[str, torch.Tensor], **more: object) -> torch.Tensor:
    """The cross entropy, in nats, of every response token in turn; the model's own loss is their mean (nan of none)."""
    with torch.no_grad():
        output = model(**inputs, **more)
    targets = inputs["labels"][:, 1:]
    losses = cross_entropy(output.logits[:, :-1].transpose(1, 2), targets, reduction="none")[targets != -100]
    torch.testing.assert_close(output.loss, losses.mean(), equal_nan=True)
    return losses


def separate_losses(model: LlamaForCausalLM, dataset: PackedDataset, number: int) -> torch.Tensor:
    """The same for each sample of a chunk alone, without padding, as if nothing had been packed."""
    chunk = dataset[number]
    losses = []
    for sample in dataset.samples(number):
        slots = slice(sample.start, sample.stop)
        alone = {"input_ids": torch.from_numpy(chunk.input_ids_L[slots])[None]}
        alone["labels"] = torch.from_numpy(chunk.labels_L[slots])[None]
        losses.append(token_losses(model, alone))
    return torch.cat(losses)


@pytest.fixture
def best_fit(run_pack_bytes: Callable[..., Path], examples: list[Example]) -> PackedDataset:
    return PackedDataset(run_pack_bytes(examples, policy="best_fit", chunk_length=CHUNK_LENGTH, too_long="drop"))


@pytest.fixture
def concatenated(run_pack_bytes: Callable[..., Path], examples: list[Example]) -> PackedDataset:
    return PackedDataset(run_pack_bytes(examples, policy="concatenate", chunk_length=CHUNK_LENGTH))


def test_packed_loss_is_the_sum_of_separate_losses(model: LlamaForCausalLM, best_fit: PackedDataset) -> None:
    assert max(len(best_fit.samples(number)) for number in range(len(best_fit))) >= 3
    for number, chunk in enumerate(best_fit):
        packed, separate = token_losses(model, batch(chunk), use_cache=False), separate_losses(model, best_fit, number)
        torch.testing.assert_close(packed, separate)
        assert float(packed.sum()) == pytest.approx(float(separate.sum()), rel=1e-5)


def test_chunks_in_a_batch_do_not_see_each_other(model: LlamaForCausalLM, best_fit: PackedDataset) -> None:
    separate = torch.cat([separate_losses(model, best_fit, number) for number in range(3)])
    packed = token_losses(model, batch(*(best_fit[number] for number in range(3))), use_cache=False)
    torch.testing.assert_close(packed, separate)


def test_padding_and_neighbours_do_not_change_a_samples_gradient(
    model: LlamaForCausalLM, best_fit: PackedDataset
) -> None:
    def gradient(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        model.zero_grad()
        loss = model(**inputs, use_cache=False).loss * (inputs["labels"][:, 1:] != -100).sum()
        loss.backward()
        return model.lm_head.weight.grad.clone()

    chunk = best_fit[0]
    slots = [slice(sample.start, sample.stop) for sample in best_fit.samples(0)]
    whole = batch(chunk)
    alone = [gradient({name: tensor[:, s] for name, tensor in whole.items()}) for s in slots]
    torch.testing.assert_close(gradient(whole), torch.stack(alone).sum(0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mistake", ["attention_mask", "use_cache", "no_position_ids"])
def test_an_attention_mask_a_cache_or_missing_positions_leak(
    model: LlamaForCausalLM, best_fit: PackedDataset, mistake: str
) -> None:
    number = max(range(len(best_fit)), key=lambda n: len(best_fit.samples(n)))
    inputs = batch(best_fit[number])
    more: dict[str, object] = {"use_cache": mistake == "use_cache"}
    if mistake == "attention_mask":
        more["attention_mask"] = torch.ones_like(inputs["input_ids"])
    if mistake == "no_position_ids":
        del inputs["position_ids"]
    leak = token_losses(model, inputs, **more) - separate_losses(model, best_fit, number)
    assert leak.abs().max() > LEAK_NATS


def test_concatenate_shares_attention(model: LlamaForCausalLM, concatenated: PackedDataset) -> None:
    packed = token_losses(model, batch(concatenated[0]), use_cache=False)
    assert (packed - separate_losses(model, concatenated, 0)).abs().max() > LEAK_NATS


def test_concatenate_is_plain_causal_attention(model: LlamaForCausalLM, concatenated: PackedDataset) -> None:
    inputs = batch(concatenated[0])
    plain = {name: inputs[name] for name in ("input_ids", "labels")}
    torch.testing.assert_close(token_losses(model, inputs, use_cache=False), token_losses(model, plain))
