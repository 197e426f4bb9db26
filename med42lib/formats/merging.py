"""A LoRA adapter merged into its base: a plain Hugging Face folder, which vLLM, TGI and others load without PEFT.

    W' = W + alpha / rank * B A        computed in float32, kept in the base's number format

PEFT says what an adapter adds to a tensor in memory, `stored_weights` where that is in the base's files. One of those
files, and what is added to one layer, are in memory at a time. A file keeps its name and its tensors' names, so the
base's index stays right.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from peft.tuners.lora import Linear
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from med42lib.core.errors import DataError
from med42lib.core.json_file import read_json
from med42lib.core.library_errors import library_errors
from med42lib.formats.lora_layers import lora_layers
from med42lib.formats.model_config import CONFIG_FILE
from med42lib.formats.model_folder import (
    ADAPTER_BASE,
    ADAPTER_CONFIG_FILE,
    ADAPTER_WEIGHTS_FILE,
    put_trained_settings,
)
from med42lib.formats.stored_weights import StoredNames, by_layer, weights_of

_ADVICE = "export an output of train or package_model that is whole"
_OTHER_ARITHMETIC = ("use_dora", "lora_bias", "modules_to_save", "trainable_token_indices")
"""Settings of PEFT's under which an adapter adds more than the formula above; `train` sets none of them."""


def merge_adapter(base: Path, adapter: Path, folder: Path) -> int:
    """Write the base with the adapter in its weights; returns how many matrices were changed.

    Args:
        base: A Hugging Face folder with safetensors.
        adapter: PEFT's folder of an adapter on it.
        folder: An empty one. Its config.json is written last, so that nothing loads what was interrupted.

    Raises:
        DataError: If a file is broken, the adapter is no plain LoRA, or the base has not all layers that it adapts.
    """
    _check_arithmetic(adapter)
    additions = _Additions(StoredNames.of(base), base, adapter)
    for path in sorted(base.glob("*.safetensors")):
        with library_errors(path, _ADVICE):
            weights = load_file(path)
        for name in weights.keys() & additions.names:
            added = additions.to(name)
            if added.any():  # or else -0.0 would become 0.0
                weights[name] = (weights[name].to(torch.float32) + added).to(weights[name].dtype)
        save_file(weights, folder / path.name, metadata={"format": "pt"})
    copy_settings(base, folder)
    put_trained_settings(adapter, folder)
    return additions.num_adapted


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


def _check_arithmetic(adapter: Path) -> None:
    settings = read_json(adapter / ADAPTER_CONFIG_FILE, _ADVICE)
    if other := [name for name in _OTHER_ARITHMETIC if settings.get(name)]:
        raise DataError(f"{adapter / ADAPTER_CONFIG_FILE} sets {', '.join(other)}; only plain LoRA is merged")


class _Additions:
    """What an adapter adds to its base's tensors, as they are in the base's files, worked out a layer at a time.

    `names` are those of the layers that are adapted, `num_adapted` counts the tensors in memory that are.
    """

    def __init__(self, stored: StoredNames, base: Path, adapter: Path) -> None:
        self._stored = stored
        weights = weights_of(stored.twin)
        self._shapes = {name: weight.shape for name, weight in weights.items()}
        self._adapters = _adapters(stored.twin, base, adapter)
        self.num_adapted = len(self._adapters)
        self._layers = [layer for layer in by_layer(weights).values() if self._adapters.keys() & layer]
        self._layer_of = {
            name: number
            for number, layer in enumerate(self._layers)
            for name in stored.turned_back({each: weights[each] for each in layer})
        }
        self.names = self._layer_of.keys()
        self._at_hand: tuple[int, dict[str, Tensor]] = (-1, {})

    def to(self, name: str) -> Tensor:
        """Say what is added to one of `names`, in float32."""
        number = self._layer_of[name]
        if self._at_hand[0] != number:
            added = {each: self._addition(each) for each in self._layers[number]}
            self._at_hand = (number, self._stored.turned_back(added))
        return self._at_hand[1][name]

    def _addition(self, name: str) -> Tensor:
        if name not in self._adapters:
            return torch.zeros(()).expand(self._shapes[name])
        adapter = self._adapters[name]
        with torch.no_grad():  # A layer of one tensor's own method puts it where the base's is, too.
            if len(self._shapes[name]) == 2:
                added: Tensor = Linear.get_delta_weight(adapter, "default")
                return added
            first, second, scale = adapter.get_delta_factors("default")
            change: Tensor = first @ second * scale
            return change


def _adapters(twin: Any, base: Path, adapter: Path) -> dict[str, Any]:
    """Put an adapter, in float32, on a model without numbers; gives PEFT's layers by the tensors that they adapt."""
    from peft import LoraConfig, get_peft_model

    with library_errors(adapter / ADAPTER_WEIGHTS_FILE, _ADVICE):
        weights = {name: weight.to(torch.float32) for name, weight in load_file(adapter / ADAPTER_WEIGHTS_FILE).items()}
    with library_errors(adapter, f"name the base that it was trained on, not {base}"):
        settings = LoraConfig.from_peft_type(**LoraConfig.from_json_file(str(adapter / ADAPTER_CONFIG_FILE)))
        settings.base_model_name_or_path = None  # PEFT warns of another than the model's, which has no folder
        model = get_peft_model(twin, settings, autocast_adapter_dtype=False)
        # Not PEFT's own loading, which puts an adapter where the base's tensors are: nowhere.
        named = {f"{name.removesuffix('.weight')}.default.weight": weight for name, weight in weights.items()}
        loaded = model.load_state_dict(named, strict=False, assign=True)
    lacking = [name for name, each in twin.named_parameters() if ".lora_" in name and each.is_meta]
    if without := [*loaded.unexpected_keys, *lacking]:
        raise DataError(
            f"the adapter in {adapter} and the base in {base} differ in {len(without)} matrices, such as "
            f"{min(without)}; name the base that it was trained on"
        )
    return lora_layers(twin)
