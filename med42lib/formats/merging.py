"""A LoRA adapter merged into its base: a plain Hugging Face folder, which vLLM, TGI and others load without PEFT.

    W' = W + alpha / rank * B A        computed in float32, kept in the base's number format

One file of weights is in memory at a time; it keeps its name and its tensors' names, so the base's index stays right.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from med42lib.core.errors import DataError
from med42lib.core.json_file import read_json
from med42lib.core.library_errors import library_errors
from med42lib.formats.model_config import CONFIG_FILE
from med42lib.formats.model_folder import (
    ADAPTER_BASE,
    ADAPTER_CONFIG_FILE,
    ADAPTER_WEIGHTS_FILE,
    put_trained_settings,
)

_ADVICE = "export an output of train or package_model that is whole"
_PREFIX, _A, _B, _WEIGHT = "base_model.model.", ".lora_A.weight", ".lora_B.weight", ".weight"
_OTHER_ARITHMETIC = ("use_dora", "use_rslora", "fan_in_fan_out", "rank_pattern", "alpha_pattern", "modules_to_save")
"""Settings of PEFT's under which an adapter is not merged by the formula above; `train` sets none of them."""


def merge_adapter(base: Path, adapter: Path, folder: Path) -> int:
    """Write the base with the adapter in its weights; returns how many matrices were changed.

    Args:
        base: A Hugging Face folder with safetensors.
        adapter: PEFT's folder of an adapter on it.
        folder: An empty one. Its config.json is written last, so that nothing loads what was interrupted.

    Raises:
        DataError: If a file is broken, the adapter is no plain LoRA, or the base has not all layers that it adapts.
    """
    scale = _scale(adapter)
    with library_errors(adapter / ADAPTER_WEIGHTS_FILE, _ADVICE):
        low_rank = load_file(adapter / ADAPTER_WEIGHTS_FILE)
    waiting = {name.removesuffix(_A).removeprefix(_PREFIX) + _WEIGHT for name in low_rank if name.endswith(_A)}
    num_adapted = len(waiting)
    for path in sorted(base.glob("*.safetensors")):
        with library_errors(path, _ADVICE):
            weights = load_file(path)
        for name in waiting & weights.keys():
            weights[name] = _merged(name, weights[name], low_rank, scale)
        waiting -= weights.keys()
        save_file(weights, folder / path.name, metadata={"format": "pt"})
    if waiting:
        raise DataError(
            f"the adapter in {adapter} changes {len(waiting)} weights that the base in {base} has not, such as "
            f"{min(waiting)}; name the base that it was trained on"
        )
    copy_settings(base, folder)
    put_trained_settings(adapter, folder)
    return num_adapted


def base_of_adapter(weights: Path) -> str | None:
    """Read the identity of an adapter's base off its weights' metadata; None if another program wrote them."""
    with library_errors(weights, _ADVICE), safe_open(weights, framework="pt") as file:
        identity: str | None = (file.metadata() or {}).get(ADAPTER_BASE)
        return identity


def copy_settings(model: Path, folder: Path) -> None:
    """Copy all files of a Hugging Face folder but its weights: tokenizer, index, and config.json last."""
    paths = [path for path in sorted(model.iterdir()) if path.is_file() and path.suffix != ".safetensors"]
    for path in sorted(paths, key=lambda path: path.name == CONFIG_FILE):
        shutil.copyfile(path, folder / path.name)


def _scale(adapter: Path) -> float:
    settings = read_json(adapter / ADAPTER_CONFIG_FILE, _ADVICE)
    if other := [name for name in _OTHER_ARITHMETIC if settings.get(name)]:
        raise DataError(f"{adapter / ADAPTER_CONFIG_FILE} sets {', '.join(other)}; only plain LoRA is merged")
    alpha, rank = settings.get("lora_alpha"), settings.get("r")
    if not isinstance(alpha, int | float) or not isinstance(rank, int) or rank < 1:
        raise DataError(f"{adapter / ADAPTER_CONFIG_FILE} says r: {rank!r}, lora_alpha: {alpha!r}; {_ADVICE}")
    return alpha / rank


def _merged(name: str, weight: Tensor, low_rank: Mapping[str, Tensor], scale: float) -> Tensor:
    layer = _PREFIX + name.removesuffix(_WEIGHT)
    if layer + _B not in low_rank:
        raise DataError(f"the adapter lacks {layer}{_B}; {_ADVICE}")
    first, second = low_rank[layer + _A].to(torch.float32), low_rank[layer + _B].to(torch.float32)
    if (second.shape[0], first.shape[1]) != tuple(weight.shape):
        raise DataError(
            f"the adapter's {layer} is for a matrix of {second.shape[0]} by {first.shape[1]}, but the base's is "
            f"{' by '.join(map(str, weight.shape))}; name the base that it was trained on"
        )
    return (weight.to(torch.float32) + scale * (second @ first)).to(weight.dtype)
