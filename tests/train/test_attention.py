"""Attention inside samples, against the mask that transformers makes of the same positions."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import MistralConfig, MistralForCausalLM

from med42lib.formats.packed import PackedDataset
from med42lib.train import attention
from med42lib.train.batches import BLANK
from med42lib.train.config import ResolvedConfig
from med42lib.train.loss import make_batch, response_loss
from med42lib.train.model import load_model
from tests.tiny_llama import SIZES
from tests.train.conftest import VOCABULARY


def loss_and_gradients(base_model: Path, packed_data: Path, config: ResolvedConfig) -> tuple[Any, Tensor, list[Tensor]]:
    model = load_model(base_model / "model", config)
    batch = make_batch(PackedDataset(packed_data), [3, BLANK, 5, 0], torch.device("cpu"))
    loss = response_loss(model, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    return model, loss, [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


@pytest.fixture(params=[5, 14, 24], ids="window of {}".format)
def sliding_model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A Mistral with a window that is shorter than samples, as long as the longest, or as long as a chunk."""
    torch.manual_seed(0)
    sizes = {**SIZES, "num_key_value_heads": 2, "max_position_embeddings": 64}
    description = MistralConfig(vocab_size=VOCABULARY, sliding_window=request.param, **sizes)
    MistralForCausalLM(description).save_pretrained(tmp_path / "model")
    return tmp_path


@pytest.mark.parametrize("checkpointing", [False, True])
def test_loss_and_gradients_are_those_under_a_mask(
    base_model: Path, packed_data: Path, config: ResolvedConfig, checkpointing: bool
) -> None:
    masked = config.model_copy(update={"attention": "sdpa"})
    _, expected_loss, expected = loss_and_gradients(base_model, packed_data, masked)
    ours = config.model_copy(update={"gradient_checkpointing": checkpointing})
    model, loss, gradients = loss_and_gradients(base_model, packed_data, ours)
    assert model.config._attn_implementation == attention.SAMPLE_ATTENTION
    torch.testing.assert_close(loss, expected_loss)
    torch.testing.assert_close(gradients, expected)


@pytest.mark.parametrize("by_kernel", [False, True])
def test_a_window_is_that_of_the_mask(
    sliding_model: Path,
    packed_data: Path,
    config: ResolvedConfig,
    by_kernel: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    masked = config.model_copy(update={"attention": "sdpa"})
    _, expected_loss, expected = loss_and_gradients(sliding_model, packed_data, masked)
    if by_kernel:
        stand_in_for_kernel(monkeypatch)
    model, loss, gradients = loss_and_gradients(sliding_model, packed_data, config)
    assert model.config._attn_implementation == attention.SAMPLE_ATTENTION
    torch.testing.assert_close(loss, expected_loss)
    torch.testing.assert_close(gradients, expected)


def test_the_kernel_is_given_the_samples_bounds(
    base_model: Path, packed_data: Path, config: ResolvedConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, expected_loss, expected = loss_and_gradients(base_model, packed_data, config)
    stand_in_for_kernel(monkeypatch)
    _, loss, gradients = loss_and_gradients(base_model, packed_data, config)
    torch.testing.assert_close(loss, expected_loss)
    torch.testing.assert_close(gradients, expected)


def stand_in_for_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU torch's kernel takes all samples at once; here its documentation, written out, stands in for it."""
    from torch.nn.attention import varlen

    monkeypatch.setattr(varlen, "varlen_attn", varlen_as_documented)
    monkeypatch.setattr(attention, "_one_by_one", attention._by_kernel)


def varlen_as_documented(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float,
    window_size: tuple[int, int],
    enable_gqa: bool,
) -> Tensor:
    assert cu_seq_q.dtype == torch.int32
    assert torch.equal(cu_seq_q, cu_seq_k)
    assert cu_seq_q.diff().max() == max_q == max_k
    before, after = window_size
    assert after == 0  # causal
    slots = torch.arange(len(query))
    sample = torch.bucketize(slots, cu_seq_q[1:], right=True)
    distance = slots[:, None] - slots[None]
    sees = (sample[:, None] == sample[None]) & (distance >= 0) & ((distance <= before) | (before == -1))
    heads_first = [states.transpose(0, 1)[None] for states in (query, key, value)]
    attended = functional.scaled_dot_product_attention(*heads_first, attn_mask=sees, scale=scale, enable_gqa=enable_gqa)
    return attended[0].transpose(0, 1)
