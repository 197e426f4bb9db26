"""The loss on chunks that are held out of training."""

from __future__ import annotations

import numpy as np
import torch
from torch import distributed

from med42lib.formats.packed import PackedDataset
from med42lib.train.batches import BLANK, share
from med42lib.train.config import TrainConfig
from med42lib.train.engine import Engine, evaluating
from med42lib.train.loss import make_batch, response_loss


def validation_loss(engine: Engine, data: PackedDataset, config: TrainConfig) -> float:
    """Measure the mean loss per response token over all held-out chunks; changes nothing in the engine.

    Every process has to call it, and takes its share. There has to be such a chunk.
    """
    num_processes = distributed.get_world_size()
    numbers = np.array(data.validation_chunks, np.int64)
    padded = np.pad(numbers, (0, -len(numbers) % (num_processes * config.micro_batch_size)), constant_values=BLANK)
    mine = share(
        padded,
        process=distributed.get_rank(),
        num_processes=num_processes,
        micro_batch_size=config.micro_batch_size,
    )
    total = torch.zeros((), dtype=torch.float64, device=engine.device)
    with evaluating(engine):
        for row in mine:
            total += response_loss(engine, make_batch(data, row.tolist(), engine.device))
    distributed.all_reduce(total)
    return float(total) / max(data.info.num_validation_response_tokens, 1)
