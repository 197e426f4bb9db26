"""The loss of response tokens, and nothing else.

Shape key:
    B: chunks in a forward pass
    L: slots of a chunk
    R: response tokens in the batch
    V: vocabulary
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from med42lib.formats.packed import IGNORED_LABEL, Chunk, PackedDataset
from med42lib.train.batches import BLANK


@dataclass(frozen=True, slots=True)
class ChunkBatch:
    """The chunks of one forward pass."""

    input_ids_BL: Tensor
    labels_BL: Tensor
    position_ids_BL: Tensor
    num_tokens: int
    """Slots that hold a token."""
    num_response_tokens: int
    """Of these, the ones that have a loss. Counted before they are on a GPU, where counting would wait for it."""
    num_pairs: int
    """Pairs of tokens of one sample: the sum of the samples' squared lengths, which attention's work grows with."""


def make_batch(data: PackedDataset, chunk_numbers: list[int], device: torch.device) -> ChunkBatch:
    """Read chunks into tensors; a `BLANK` becomes a chunk of padding, without loss."""
    chunks = [_blank(data) if number == BLANK else data[number] for number in chunk_numbers]
    return ChunkBatch(
        torch.from_numpy(np.stack([chunk.input_ids_L for chunk in chunks])).to(device),
        torch.from_numpy(np.stack([chunk.labels_L for chunk in chunks])).to(device),
        torch.from_numpy(np.stack([chunk.position_ids_L for chunk in chunks])).to(device),
        sum(chunk.num_tokens for chunk in chunks),
        sum(int((chunk.labels_L != IGNORED_LABEL).sum()) for chunk in chunks),
        sum(map(_count_pairs, chunks)),
    )


def response_loss(model: Callable[..., Any], batch: ChunkBatch) -> Tensor:
    """Sum the cross entropy, in nats, over the batch's response tokens.

    The model predicts slot i from slot i - 1, and is asked for logits only where a response token follows: for
    SmolLM2-135M with 30 % responses that makes a step 1.3 times as fast. Without a response token the sum is 0.

    No attention mask and no cache: that is how samples in a chunk stay apart (see `formats/packed.py`).
    """
    targets_BL = functional.pad(batch.labels_BL[:, 1:], (0, 1), value=IGNORED_LABEL)
    kept_BL = targets_BL != IGNORED_LABEL
    logits_RV = model(
        input_ids=batch.input_ids_BL,
        position_ids=batch.position_ids_BL,
        logits_to_keep=kept_BL,
        use_cache=False,
    ).logits
    return functional.cross_entropy(logits_RV.float(), targets_BL[kept_BL], reduction="sum")


def _count_pairs(chunk: Chunk) -> int:
    starts = np.flatnonzero(chunk.position_ids_L[: chunk.num_tokens] == 0)
    return int((np.diff(starts, append=chunk.num_tokens) ** 2).sum())


def _blank(data: PackedDataset) -> Chunk:
    length = data.info.chunk_length
    return Chunk(
        np.full(length, data.info.pad_token_id, np.int64),
        np.full(length, IGNORED_LABEL, np.int64),
        np.arange(length),
        0,
    )
