"""Saving what was trained: whole Hugging Face weights, or a PEFT adapter.

Weights that ZeRO-3 has split are put together one shard at a time, on the first process only, so that saving a
70B model takes 5 GB of memory there, not 138.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from huggingface_hub import split_state_dict_into_shards_factory
from safetensors.torch import save_file
from torch import Tensor

from med42lib.formats.chat_template import save_tokenizer
from med42lib.formats.model_config import write_config
from med42lib.formats.model_folder import (
    ADAPTER_BASE,
    ADAPTER_FOLDER,
    ADAPTER_WEIGHTS_FILE,
    MODEL_FOLDER,
    TOKENIZER_FOLDER,
    copy_processor,
    copy_terms,
    write_generation_settings,
    write_mlmodel,
)
from med42lib.formats.prompt import DEFAULT_SYSTEM
from med42lib.formats.stored_weights import StoredNames, by_layer, weights_of
from med42lib.train.config import Method
from med42lib.train.text_model import is_multimodal

Gather = Callable[[list[Tensor]], AbstractContextManager[object]]
"""Makes parameters whole on every process while the block runs."""

MAX_SHARD_BYTES = 5_000_000_000


def save_trained(
    model: Any,
    trained: Path,
    *,
    method: Method,
    base: Path,
    base_name: str,
    base_hub: str | None,
    end_token_id: int,
    system: str = DEFAULT_SYSTEM,
    gather: Gather,
    writes: bool,
) -> None:
    """Save what was trained, tokenizer and terms with it, as `formats/model_folder.py` says; called by every process.

    Args:
        model: The model as it was trained, its weights split by ZeRO-3 or not.
        trained: The folder to save it in.
        method: What was trained: the whole model, or an adapter.
        base: Folder of the base model, whose tokenizer and terms it has.
        base_name: The base's identity, kept in the metadata of an adapter's weights.
        base_hub: Repository and revision of a base that came from a hub, by which an adapter calls it.
        end_token_id: What the training data end an answer with.
        system: The system text that most of them have.
        gather: Makes weights whole.
        writes: True on the one process that writes the files.
    """
    full = method == "full"
    folder = trained / (MODEL_FOLDER if full else ADAPTER_FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    if full:
        save_model(model, folder, base=base, gather=gather, writes=writes)
    else:
        save_adapter(model, folder, base_name=base_name, base_hub=base_hub, gather=gather, writes=writes)
    if writes:
        save_tokenizer(base, folder, system)
        copy_terms(base, folder)
        write_generation_settings(base, folder, end_token_id=end_token_id)
    if writes and full:
        copy_processor(base, folder)
        save_tokenizer(base, trained / TOKENIZER_FOLDER, system)
        write_mlmodel(trained, adapter=False)


def save_model(
    model: Any,
    folder: Path,
    *,
    base: Path,
    gather: Gather,
    writes: bool,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Save weights and configuration in the words of the base's files; every process has to call this.

    Args:
        model: A transformers model, its weights split by ZeRO-3 or not.
        folder: Where to; must exist.
        base: Folder of the base model, whose names the tensors get.
        gather: Makes weights whole.
        writes: True on the one process that writes the files.
        max_shard_bytes: Size of a file, and the memory needed; a layer is not cut in two.
    """
    names, weights = StoredNames.of(base), weights_of(model)
    layers = by_layer(weights)
    plan = split_state_dict_into_shards_factory(
        layers,
        get_storage_size=lambda layer: sum(_num_bytes(weights[name]) for name in layer),
        filename_pattern="model{suffix}.safetensors",
        max_shard_size=max_shard_bytes,
    )
    places: dict[str, str] = {}
    for file, inside in plan.filename_to_tensors.items():
        together = {name: weights[name] for layer in inside for name in layers[layer]}
        shard = dict(_gathered(together, gather, keep=writes))
        if writes:
            stored = {name: weight.contiguous() for name, weight in names.turned_back(shard).items()}
            save_file(stored, folder / file, metadata={"format": "pt"})
            places |= dict.fromkeys(stored, file)
    if writes:
        if plan.is_sharded:
            index = {"metadata": plan.metadata, "weight_map": places}
            (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
        write_config(base, folder, dtype=str(model.dtype).removeprefix("torch."))


def save_adapter(
    model: Any, folder: Path, *, base_name: str, base_hub: str | None, gather: Gather, writes: bool
) -> None:
    """Save a PEFT model's adapter; every process has to call this.

    A base from a hub is named by its repository and revision, by which PEFT, vLLM and TGI find it themselves. Another
    has no name that means the same everywhere: there the adapter says its identity, and who loads it names the base.

    Args:
        model: A PEFT model, its weights split by ZeRO-3 or not.
        folder: Where to; must exist.
        base_name: The base model's identity.
        base_hub: Its repository and revision, `owner/name@revision`; None if it came from no hub.
        gather: Makes weights whole.
        writes: True on the one process that writes the files.
    """
    from peft import get_peft_model_state_dict

    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    whole = dict(_gathered(trained, gather, keep=writes))
    if not writes:
        return
    # "Embedding layers: automatic" would ask the hub for the base model's vocabulary.
    state = get_peft_model_state_dict(model, state_dict=whole, save_embedding_layers=False)
    save_file(state, folder / ADAPTER_WEIGHTS_FILE, metadata={ADAPTER_BASE: base_name})
    config = model.peft_config["default"]
    repository, _, revision = (base_hub or base_name).partition("@")
    config.base_model_name_or_path, config.revision = repository, revision or None
    config.inference_mode = True
    # PEFT lists every layer's modules, in an order that changes from run to run; their own names say the same, but that
    # a vision tower's modules have such names, too.
    multimodal = is_multimodal(model.get_base_model())
    config.target_modules = sorted({m if multimodal else m.rpartition(".")[2] for m in config.target_modules})
    if config.target_parameters:
        config.target_parameters = sorted({re.sub(r".*\.\d+\.", "", name) for name in config.target_parameters})
    config.save_pretrained(folder)


def _gathered(weights: dict[str, Tensor], gather: Gather, *, keep: bool) -> Iterator[tuple[str, Tensor]]:
    """Give whole copies, in main memory, of weights one after the other; none unless `keep`."""
    for name, weight in weights.items():
        with gather([weight]):
            if keep:
                yield name, weight.detach().cpu().clone().contiguous()


def _num_bytes(weight: Tensor) -> int:
    return num_elements(weight) * weight.element_size()


def num_elements(weight: Tensor) -> int:
    """Count a weight's numbers, also while ZeRO-3 has it split, or if it is in four bits, two to a byte."""
    state = getattr(weight, "quant_state", None)
    return math.prod(state.shape) if state is not None else int(getattr(weight, "ds_numel", weight.numel()))


def count_elements(weights: Iterable[Tensor]) -> int:
    """Count the numbers in all weights."""
    return sum(num_elements(weight) for weight in weights)
