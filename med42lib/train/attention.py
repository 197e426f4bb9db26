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

from med42lib.train.attention_choice import Hardware

SAMPLE_ATTENTION = "med42_samples"
"""Its name for transformers."""

_AMPERE = (8, 0)


def hardware_here() -> Hardware:
    """Say on what attention will be computed."""
    if not torch.cuda.is_available():
        return "cpu"
    return "ampere" if torch.cuda.get_device_capability() >= _AMPERE and _torch_has_kernel() else "older"


def attend(
    _module: Any,
    query_BHLD: Tensor,
    key_BGLD: Tensor,
    value_BGLD: Tensor,
    _mask: None,
    *,
    position_ids: Tensor,
    scaling: float,
    sliding_window: int | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Compute attention as transformers' `AttentionInterface` asks for it: a sample begins where positions do.

    Of a `sliding_window` a token sees so many slots, itself among them.

    Returns:
        What was attended to, shape (B, L, H, D), and nothing in place of the attention weights.
    """
    query_THD, key_TGD, value_TGD = (
        states.transpose(1, 2).flatten(0, 1) for states in (query_BHLD, key_BGLD, value_BGLD)
    )
    compute = _by_kernel if query_THD.is_cuda else _one_by_one
    lengths, bounds = _samples(position_ids)
    window = sliding_window if sliding_window and sliding_window < max(lengths) else None
    attended_THD = compute(query_THD, key_TGD, value_TGD, lengths, bounds, scaling, window)
    return attended_THD.view(*position_ids.shape, *attended_THD.shape[1:]), None


AttentionInterface.register(SAMPLE_ATTENTION, attend)


@lru_cache(maxsize=1)
def _samples(position_ids_BL: Tensor) -> tuple[list[int], Tensor]:
    """Give the samples' lengths, and where they begin and end, int32, shape (S + 1,); once for all layers."""
    starts_S = (position_ids_BL.flatten() == 0).nonzero().flatten()
    bounds = functional.pad(starts_S, (0, 1), value=position_ids_BL.numel()).to(torch.int32)
    return bounds.diff().tolist(), bounds


def _one_by_one(
    query_THD: Tensor,
    key_TGD: Tensor,
    value_TGD: Tensor,
    lengths: list[int],
    _bounds: Tensor,
    scale: float,
    window: int | None,
) -> Tensor:
    grouped = query_THD.shape[1] != key_TGD.shape[1]
    # Split, not sliced: the gradient of each slice would be as large as what it was cut from.
    queries, keys, values = (
        torch.split(states.transpose(0, 1)[None], lengths, 2) for states in (query_THD, key_TGD, value_TGD)
    )
    attended = [
        functional.scaled_dot_product_attention(
            q, k, v, is_causal=window is None, attn_mask=_band(q.shape[2], window), scale=scale, enable_gqa=grouped
        )
        for q, k, v in zip(queries, keys, values, strict=True)
    ]
    return torch.cat(attended, 2)[0].transpose(0, 1).contiguous()


def _band(length: int, window: int | None) -> Tensor | None:
    """Make the mask of a window over a sample; of none, `is_causal` says it."""
    return None if window is None else torch.ones(length, length, dtype=torch.bool).tril().triu(1 - window)


def _by_kernel(
    query_THD: Tensor,
    key_TGD: Tensor,
    value_TGD: Tensor,
    lengths: list[int],
    bounds: Tensor,
    scale: float,
    window: int | None,
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
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=grouped,
    )
    return attended


def _torch_has_kernel() -> bool:
    """Say whether this torch has the kernel in the form that is used here (2.13 has)."""
    if importlib.util.find_spec("torch.nn.attention.varlen") is None:
        return False
    from torch.nn.attention.varlen import varlen_attn

    return inspect.signature(varlen_attn).parameters.keys() >= {"scale", "window_size", "enable_gqa"}
