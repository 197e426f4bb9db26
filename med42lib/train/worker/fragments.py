"""What a process holds of the state that training changes: fragments, flat pieces of flattened parameters.

A parameter of shape (3, 4) on two processes; the fragments of a parameter, put together, are the whole of it:

    flattened   0  1  2  3  4  5  6  7  8  9 10 11
    ZeRO-3     [-- process 0 --][-- process 1 --]      each parameter is cut into equal pieces
    ZeRO-1, 2  [-------- process 0 ------][- 1 -]      all are laid end to end, and the whole is cut into equal pieces

Of each fragment there are three tensors: the float32 weight and AdamW's two means. Of a frozen parameter there is none.
So a state that was saved by any number of processes, under any stage of ZeRO, is read by any other: as other slices.
DeepSpeed keeps a process's fragments in few long flat tensors, and only this module knows where.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, distributed

from med42lib.core.errors import DataError

WEIGHT = "weight"
MEANS = ("exp_avg", "exp_avg_sq")
PARTS = (WEIGHT, *MEANS)
"""The three tensors of a fragment, by torch's names of the latter two."""

Extent = tuple[int, int]
"""Start and end of a fragment in its flattened parameter."""

Layout = Mapping[str, Mapping[str, Extent]]
"""Which fragments a state's files hold: by file and parameter."""

LAYOUT_FILE = "fragments.json"

_STEP = "step"
_SCALER = "loss_scaler"
_SCALER_NUMBERS = ("cur_scale", "cur_iter", "last_overflow_iter", "cur_hysteresis")


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of one parameter that this process updates."""

    name: str
    start: int
    """Its first element in the flattened parameter."""
    length: int
    flat: int
    """Number of the flat tensor that holds it."""
    offset: int
    """Its first element there."""

    def within(self, flat: Tensor) -> Tensor:
        """Give its piece of a flat tensor."""
        return flat.narrow(0, self.offset, self.length)

    @property
    def extent(self) -> Extent:
        """Where it begins and ends in the flattened parameter."""
        return self.start, self.start + self.length


class TrainedState:
    """The fragments of this process, in the memory of a DeepSpeed engine (ZeRO-1, 2 or 3) whose optimiser is AdamW."""

    def __init__(self, engine: Any) -> None:
        self._zero, self._adam = engine.optimizer, engine.optimizer.optimizer
        self.fragments = tuple(_fragments(engine))
        self._copies: dict[tuple[int, str], Tensor] = {}

    @property
    def extents(self) -> dict[str, Extent]:
        """Where the fragments lie in their parameters; the same as long as the engine lives."""
        return {fragment.name: fragment.extent for fragment in self.fragments}

    def numbers(self) -> dict[str, Any]:
        """Give what is no tensor, and the same on every process: AdamW's step, and float16's loss scale."""
        scaler = getattr(self._zero, "loss_scaler", None)
        found = {name: getattr(scaler, name) for name in _SCALER_NUMBERS if hasattr(scaler, name)}
        return {_STEP: int(self._moments(0)[_STEP]), _SCALER: found}

    def copy(self) -> dict[str, Tensor]:
        """Copy the fragments into main memory, and into the same place each time, which is three times as fast.

        Returns:
            Flat float32 tensors by `tensor_name`, good until the next call. Training may go on.
        """
        for number in range(len(self._flats)):
            for part in PARTS:
                self._in_main_memory(number, part).copy_(self._flat(number, part).detach())
        return {
            tensor_name(fragment.name, part): fragment.within(self._copies[fragment.flat, part])
            for fragment in self.fragments
            for part in PARTS
        }

    def _in_main_memory(self, number: int, part: str) -> Tensor:
        """Give the place in main memory for a flat tensor."""
        return self._copies.setdefault((number, part), torch.empty(0)).resize_(self._flats[number].shape)

    def files_needed(self, layout: Layout) -> list[str]:
        """Name the files of a saved state that hold anything of this process's fragments.

        Raises:
            DataError: If they do not hold all of it.
        """
        found: dict[str, None] = {}
        for fragment in self.fragments:
            overlaps = {file: _overlap(fragment, extents) for file, extents in layout.items()}
            if sum(end - start for start, end in overlaps.values()) != fragment.length:
                raise DataError(f"the saved state does not hold all of {fragment.name}, or some of it twice")
            found |= {file: None for file, (start, end) in overlaps.items() if start < end}
        return list(found)

    def read(self, path: Path, extents: Mapping[str, Extent]) -> None:
        """Read what a file of a saved state has of this process's fragments, into main memory where `copy` puts them.

        So the file may be gone before the next is there, and a state whose files are not all whole changes nothing.

        Args:
            path: One that `files_needed` named, on this machine.
            extents: Which fragments it holds.
        """
        with safe_open(path, framework="pt") as tensors:
            for fragment in self.fragments:
                self._read(fragment, tensors, extents)

    def load(self, numbers: Mapping[str, Any]) -> None:
        """Take a saved state over, of which every file that is needed was read; every process has to call this.

        Args:
            numbers: What `numbers` gave.
        """
        for fragment in self.fragments:
            for part in PARTS:
                copy = fragment.within(self._in_main_memory(fragment.flat, part))
                fragment.within(self._flat(fragment.flat, part).data).copy_(copy)
        for number in range(len(self._flats)):
            self._moments(number)[_STEP].fill_(numbers[_STEP])
        for name, value in numbers[_SCALER].items():
            setattr(self._zero.loss_scaler, name, value)
        self._update_model()

    def _read(self, fragment: Fragment, tensors: Any, extents: Mapping[str, Extent]) -> None:
        start, end = _overlap(fragment, extents)
        if start >= end:
            return
        saved_start, _ = extents[fragment.name]
        for part in PARTS:
            values = tensors.get_slice(tensor_name(fragment.name, part))[start - saved_start : end - saved_start]
            place = fragment.offset + start - fragment.start
            self._in_main_memory(fragment.flat, part).narrow(0, place, end - start).copy_(values)

    @property
    def _flats(self) -> list[Tensor]:
        """The flat float32 weights, which are what AdamW updates: under ZeRO-3, and otherwise."""
        name = "fp32_partitioned_groups_flat" if _is_zero_3(self._zero) else "single_partition_of_fp32_groups"
        flats: list[Tensor] = getattr(self._zero, name)
        return flats

    def _flat(self, number: int, part: str) -> Tensor:
        return self._flats[number] if part == WEIGHT else self._moments(number)[part]

    def _moments(self, number: int) -> dict[str, Tensor]:
        """Give AdamW's state of a flat tensor, made as AdamW makes it in its first step."""
        flat = self._flats[number]
        state: dict[str, Tensor] = self._adam.state[flat]
        if not state:
            on_device = self._adam.defaults.get("fused") or self._adam.defaults.get("capturable")
            state[_STEP] = torch.zeros((), dtype=torch.float32, device=flat.device if on_device else "cpu")
            state.update({mean: torch.zeros_like(flat) for mean in MEANS})
        return state

    def _update_model(self) -> None:
        """Have the model compute with the weights that were loaded."""
        if not _is_zero_3(self._zero):
            self._zero.update_lp_params()
            return
        self._zero.checkpoint_event_prologue()
        for number in range(len(self._flats)):
            self._zero._reassign_or_swap_out_partitioned_parameters(number)
        if kept_whole := self._zero.persistent_parameters:
            kept_whole[0].partition(kept_whole)
        self._zero.checkpoint_event_epilogue()


def tensor_name(parameter: str, part: str) -> str:
    """Name one of a fragment's three tensors in a file."""
    return f"{part}/{parameter}"


def write_layout(layout: Layout, path: Path) -> None:
    """Write a layout as JSON."""
    path.write_text(json.dumps(layout), encoding="utf-8")


def read_layout(path: Path) -> Layout:
    """Read what `write_layout` wrote."""
    layout: Layout = json.loads(path.read_text(encoding="utf-8"))
    return layout


def _fragments(engine: Any) -> Iterator[Fragment]:
    for name, parameter in engine.module.named_parameters():
        if parameter.requires_grad:
            found = (_zero_3_place if _is_zero_3(engine.optimizer) else _zero_1_place)(engine.optimizer, parameter)
            start, length, flat, offset = found
            if length > 0:
                yield Fragment(name, start, length, flat, offset)


def _is_zero_3(optimizer: Any) -> bool:
    return hasattr(optimizer, "fp32_partitioned_groups_flat")


def _zero_3_place(optimizer: Any, parameter: Any) -> tuple[int, int, int, int]:
    """Give start, length, flat tensor and offset; the last process's piece is filled up, which is left out."""
    size = parameter.ds_tensor.ds_numel
    start = distributed.get_rank() * size
    flat, offset, _ = optimizer.grad_position[optimizer.get_param_id(parameter)]
    return start, min(size, parameter.ds_numel - start), flat, offset


def _zero_1_place(_optimizer: Any, parameter: Any) -> tuple[int, int, int, int]:
    """Give start, length, flat tensor and offset; no length if other processes update the whole parameter."""
    mapping = parameter._hp_mapping
    if mapping is None:
        return 0, 0, 0, 0
    own = mapping.lp_fragment_address
    return own.start, own.numel, mapping.param_group_index, mapping.hp_fragment_address.start


def _overlap(fragment: Fragment, extents: Mapping[str, Extent]) -> Extent:
    """Give what a file has of a fragment; the end is not above the start where that is nothing."""
    saved_start, saved_end = extents.get(fragment.name, (0, 0))
    start = max(fragment.start, saved_start)
    return start, max(start, min(fragment.start + fragment.length, saved_end))
