"""Attention inside samples, against the mask that transformers makes of the same positions."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlamaConfig, MistralConfig, Qwen2Config

from med42lib.formats.packed import PackedDataset
from med42lib.train import attention
from med42lib.train.batches import BLANK
from med42lib.train.config import ResolvedConfig
from med42lib.train.loss import make_batch, response_loss
from med42lib.train.model import load_model


def loss_and_gradients(base_model: Path, packed_data: Path, config: ResolvedConfig) -> tuple[Any, Tensor, list[Tensor]]:
    model = load_model(base_model / "model", config)
    batch = make_batch(PackedDataset(packed_data), [3, BLANK, 5, 0], torch.device("cpu"))
    loss = response_loss(model, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    return model, loss, [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


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


def test_the_kernel_is_given_the_samples_bounds(
    base_model: Path, packed_data: Path, config: ResolvedConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU torch's kernel takes all samples at once; here its documentation, written out, stands in for it."""
    from torch.nn.attention import varlen

    _, expected_loss, expected = loss_and_gradients(base_model, packed_data, config)
    monkeypatch.setattr(varlen, "varlen_attn", varlen_as_documented)
    monkeypatch.setattr(attention, "_one_by_one", attention._by_kernel)
    _, loss, gradients = loss_and_gradients(base_model, packed_data, config)
    torch.testing.assert_close(loss, expected_loss)
    torch.testing.assert_close(gradients, expected)


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
    assert window_size == (-1, 0)  # causal
    slots = torch.arange(len(query))
    sample = torch.bucketize(slots, cu_seq_q[1:], right=True)
    sees = (sample[:, None] == sample[None]) & (slots[:, None] >= slots[None])
    heads_first = [states.transpose(0, 1)[None] for states in (query, key, value)]
    attended = functional.scaled_dot_product_attention(*heads_first, attn_mask=sees, scale=scale, enable_gqa=enable_gqa)
    return attended[0].transpose(0, 1)


def test_a_model_with_more_than_causal_attention_keeps_the_mask() -> None:
    can = attention.can_attend
    assert can(LlamaConfig(), "float32")
    assert can(MistralConfig(sliding_window=None), "float32")
    assert not can(MistralConfig(sliding_window=4096), "float32")
    assert can(Qwen2Config(use_sliding_window=False), "float32")
    assert not can(LlamaConfig(attention_dropout=0.1), "float32")
    assert not can(LlamaConfig(model_type="another"), "float32")
