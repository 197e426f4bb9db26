"""Attention inside each sample of a packed batch, and nowhere else, without a mask.

transformers keeps samples apart by a mask over all pairs of a chunk's slots. Here the pairs inside samples alone are
computed, which with samples of 350 tokens in chunks of 4,096 are a twelfth, and no mask takes memory in every layer.
On a CPU each sample is computed by itself; on GPUs from Ampere on, one kernel takes all (`torch.nn.attention.varlen`).

Shape key:
    B: chunks in a forward pass
    L: slots of a chunk
    T: slots of all chunks, one chunk after the other: B * L
    S: samples; padding at a chunk's end counts as one
    H: heads
    G: heads of keys and values
    D: numbers of a head
"""

from __future__ import annotations

import importlib.util
import inspect
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface

from med42lib.formats.models import Precision

SAMPLE_ATTENTION = "med42_samples"
"""Its name for transformers."""

_MODEL_TYPES = {"llama", "mistral", "qwen2", "qwen3"}
"""Whose attention is causal and nothing else, unless a window or dropout is set."""

_AMPERE = (8, 0)


def can_attend(description: Any, precision: Precision) -> bool:
    """Say whether a model's attention can be computed so, on the hardware that there is.

    Args:
        description: The model's `PretrainedConfig`.
        precision: Number format of its weights.
    """
    slides = getattr(description, "sliding_window", None) and getattr(description, "use_sliding_window", True)
    if description.model_type not in _MODEL_TYPES or slides or description.attention_dropout:
        return False
    return not torch.cuda.is_available() or _has_kernel(precision)


def attend(
    _module: Any,
    query_BHLD: Tensor,
    key_BGLD: Tensor,
    value_BGLD: Tensor,
    _mask: None,
    *,
    position_ids: Tensor,
    scaling: float,
    **_: object,
) -> tuple[Tensor, None]:
    """Compute attention as transformers' `AttentionInterface` asks for it: a sample begins where positions do.

    Returns:
        What was attended to, shape (B, L, H, D), and nothing in place of the attention weights.
    """
    query_THD, key_TGD, value_TGD = (
        states.transpose(1, 2).flatten(0, 1) for states in (query_BHLD, key_BGLD, value_BGLD)
    )
    compute = _by_kernel if query_THD.is_cuda else _one_by_one
    attended_THD = compute(query_THD, key_TGD, value_TGD, *_samples(position_ids), scaling)
    return attended_THD.view(*position_ids.shape, *attended_THD.shape[1:]), None


AttentionInterface.register(SAMPLE_ATTENTION, attend)


@lru_cache(maxsize=1)
def _samples(position_ids_BL: Tensor) -> tuple[list[int], Tensor]:
    """Give the samples' lengths, and where they begin and end, int32, shape (S + 1,); once for all layers."""
    starts_S = (position_ids_BL.flatten() == 0).nonzero().flatten()
    bounds = functional.pad(starts_S, (0, 1), value=position_ids_BL.numel()).to(torch.int32)
    return bounds.diff().tolist(), bounds


def _one_by_one(
    query_THD: Tensor, key_TGD: Tensor, value_TGD: Tensor, lengths: list[int], _bounds: Tensor, scale: float
) -> Tensor:
    grouped = query_THD.shape[1] != key_TGD.shape[1]
    # Split, not sliced: the gradient of each slice would be as large as what it was cut from.
    queries, keys, values = (
        torch.split(states.transpose(0, 1)[None], lengths, 2) for states in (query_THD, key_TGD, value_TGD)
    )
    attended = [
        functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=grouped)
        for q, k, v in zip(queries, keys, values, strict=True)
    ]
    return torch.cat(attended, 2)[0].transpose(0, 1).contiguous()


def _by_kernel(
    query_THD: Tensor, key_TGD: Tensor, value_TGD: Tensor, lengths: list[int], bounds: Tensor, scale: float
) -> Tensor:
    from torch.nn.attention import varlen

    longest, grouped = max(lengths), query_THD.shape[1] != key_TGD.shape[1]
    attended: Tensor = varlen.varlen_attn(  # type: ignore[assignment]
        query_THD,
        key_TGD,
        value_TGD,
        bounds,
        bounds,
        longest,
        longest,
        scale=scale,
        window_size=(-1, 0),
        enable_gqa=grouped,
    )
    return attended


def _has_kernel(precision: Precision) -> bool:
    """Say whether the GPU can run the kernel, and this torch has it in the form that is used here (2.13 has)."""
    if precision == "float32" or torch.cuda.get_device_capability() < _AMPERE:
        return False
    if importlib.util.find_spec("torch.nn.attention.varlen") is None:
        return False
    from torch.nn.attention.varlen import varlen_attn

    return inspect.signature(varlen_attn).parameters.keys() >= {"scale", "window_size", "enable_gqa"}
