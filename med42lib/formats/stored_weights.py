"""A model's weights as its files hold them: under the names, and cut into the matrices, that its publisher gave them.

transformers 5 joins a mixture's experts into one tensor when it loads them, and gives some tensors newer names. Other
programs (vLLM, llama.cpp, older transformers) read what the publisher wrote. So what is saved is turned back:

    in memory   model.layers.0.mlp.experts.gate_up_proj                       (experts, 2 * intermediate, hidden)
    in files    model.layers.0.block_sparse_moe.experts.0.w1.weight           (intermediate, hidden)
                model.layers.0.block_sparse_moe.experts.0.w3.weight, and so on for every expert

transformers knows how, once it has loaded a model. A twin of the model, whose tensors have shapes and no numbers
(PyTorch's meta device), is loaded from the base's headers for that; no weight is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from med42lib.core.errors import DataError
from med42lib.core.library_errors import library_errors

if TYPE_CHECKING:
    from torch import Tensor

_ADVICE = "fetch the base model again"
_LAYER = re.compile(r".*?\.\d+\.|\d+\.")


@dataclass(frozen=True, slots=True)
class Header:
    """What a file's header says of a tensor; `dtype` as safetensors names it."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def num_parameters(self) -> int:
        """Count its numbers."""
        return prod(self.shape)


def read_headers(path: Path, advice: str) -> dict[str, Header]:
    """Read the header of a weight file: its tensors by their names.

    Raises:
        DataError: If it is no whole safetensors file.
    """
    from safetensors import safe_open

    with library_errors(path, advice), safe_open(path, framework="np") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        return {name: Header(tuple(found.get_shape()), found.get_dtype()) for name, found in slices.items()}


def empty_model(description: Any) -> Any:
    """Build the model of a `PretrainedConfig` without memory for its numbers."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(description, attn_implementation=None, trust_remote_code=False)


def load_headers(model: Any, headers: Mapping[str, Header]) -> tuple[Any, Any]:
    """Load a model from tensors that have shapes and no numbers.

    Args:
        model: What `empty_model` gave.
        headers: What the weight files hold.

    Returns:
        The model as transformers makes it of such files, and its report of what was missing or had no place.
    """
    import torch
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    loaded: tuple[Any, Any] = type(model).from_pretrained(
        None,
        config=model.config,
        state_dict={name: torch.empty(header.shape, device="meta") for name, header in headers.items()},
        device_map={"": "meta"},
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        local_files_only=True,
        trust_remote_code=False,
    )
    return loaded


class StoredNames:
    """The way back from a model's tensors in memory to those of its base's files."""

    def __init__(self, twin: Any, headers: Mapping[str, Header]) -> None:
        """Take a twin that `load_headers` made, and the headers that it was made of."""
        self.twin = twin
        self._headers = headers

    @classmethod
    def of(cls, base: Path) -> StoredNames:
        """Read the names of a base model off its folder.

        Raises:
            DataError: If a file of it is broken.
        """
        from med42lib.formats.model_loading import load_description

        headers: dict[str, Header] = {}
        for path in sorted(base.glob("*.safetensors")):
            headers |= read_headers(path, _ADVICE)
        description = load_description(base, _ADVICE)
        with library_errors(base, _ADVICE):
            twin, _ = load_headers(empty_model(description), headers)
        return cls(twin, headers)

    def turned_back(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Give tensors, by the names that they have in memory, as the base's files hold them.

        Args:
            weights: All tensors of one layer or of several: those of a layer may be joined in the files.
        """
        from transformers.core_model_loading import revert_weight_conversion

        return {self._stored(name): weight for name, weight in revert_weight_conversion(self.twin, weights).items()}

    def check(self) -> None:
        """Make sure that every tensor gets back the name and the shape that it has in the base's files.

        Raises:
            DataError: If one does not.
        """
        if other := self.others():
            raise DataError(
                f"transformers would save {len(other)} tensors of this {type(self.twin).__name__} under other names or "
                f"in other shapes than its base has, such as {other[0]}, and other programs could not read them; train "
                "it with method lora, or use another base model"
            )

    def others(self) -> list[str]:
        """List the names, or those with other shapes, that the base's files do not have, sorted."""
        saved = self.turned_back(weights_of(self.twin))
        return sorted(
            name
            for name, weight in saved.items()
            if name not in self._headers or self._headers[name].shape != tuple(weight.shape)
        )

    def left_over(self) -> list[str]:
        """List the tensors of the base's files that none of the model's is saved as, sorted."""
        return sorted(self._headers.keys() - self.turned_back(weights_of(self.twin)).keys())

    def _stored(self, name: str) -> str:
        """Find a name among the base's; GPT-2's files leave out the prefix that all names share in memory."""
        prefix = f"{self.twin.base_model_prefix}."
        return next(
            (known for known in (name, name.removeprefix(prefix), prefix + name) if known in self._headers), name
        )


def weights_of(model: Any) -> dict[str, Tensor]:
    """Name all that a checkpoint holds: parameters, tied ones once, and buffers that are not computed anew."""
    saved = model.state_dict().keys()
    buffers = {name: buffer for name, buffer in model.named_buffers() if name in saved}
    return {**dict(model.named_parameters()), **buffers}


def by_layer(names: Iterable[str]) -> dict[str, list[str]]:
    """Group the names of tensors by the layer that they begin with, `model.layers.3.`; "" has those outside layers."""
    layers: dict[str, list[str]] = {}
    for name in names:
        found = _LAYER.match(name)
        layers.setdefault(found.group() if found else "", []).append(name)
    return layers
