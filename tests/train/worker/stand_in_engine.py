"""What `TrainedState` needs of DeepSpeed under ZeRO-1: parameters laid end to end, and cut into equal pieces."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn


class StandInEngine:
    """Process `rank` of `num_processes`, whose part of each group of parameters lies in one flat tensor."""

    def __init__(self, parameters: dict[str, Tensor], *, rank: int = 0, num_processes: int = 1) -> None:
        self.module = nn.ParameterDict(parameters)
        groups = [[p for p in self.module.values() if p.dim() == axes] for axes in (2, 1)]
        flats = [_flat(group, flat, rank, num_processes) for flat, group in enumerate(filter(None, groups))]
        self.optimizer: Any = SimpleNamespace(
            optimizer=torch.optim.AdamW(flats, lr=0.1),
            single_partition_of_fp32_groups=flats,
            update_lp_params=self._update_model,
            loss_scaler=SimpleNamespace(cur_scale=1.0, dynamic=False),
        )

    def step(self) -> None:
        """Update this process's part, with gradients that differ from element to element."""
        for flat in self.optimizer.single_partition_of_fp32_groups:
            flat.grad = torch.arange(flat.numel(), dtype=torch.float32).sin()
        self.optimizer.optimizer.step()
        self._update_model()

    def _update_model(self) -> None:
        for parameter in self.module.values():
            if (mapping := parameter._hp_mapping) is not None:
                own, there = mapping.lp_fragment_address, mapping.hp_fragment_address
                flat = self.optimizer.single_partition_of_fp32_groups[mapping.param_group_index]
                parameter.data.view(-1)[own.start : own.start + own.numel] = flat[there.start :][: own.numel]


def _flat(parameters: Sequence[nn.Parameter], group: int, rank: int, num_processes: int) -> Tensor:
    """Give a process's part of the parameters of a group, filled up with zeros, and tell each where its piece is."""
    together = torch.cat([parameter.detach().view(-1) for parameter in parameters])
    size = -(-together.numel() // num_processes)
    first, offset = rank * size, 0
    for parameter in parameters:
        start, end = max(first, offset), min(first + size, offset + parameter.numel())
        parameter._hp_mapping = None if start >= end else _mapping(group, start - offset, start - first, end - start)  # type: ignore[attr-defined]
        offset += parameter.numel()
    padded = torch.cat([together, torch.zeros(size * num_processes - together.numel())])
    return padded[first : first + size].clone()


def _mapping(group: int, start: int, offset: int, numel: int) -> SimpleNamespace:
    return SimpleNamespace(
        param_group_index=group,
        lp_fragment_address=SimpleNamespace(start=start, numel=numel),
        hp_fragment_address=SimpleNamespace(start=offset, numel=numel),
    )
