"""A model's config.json: what we rely on, and what in it would choose the code that runs.

transformers copies every entry onto its configuration object. Some of them name weights, kernels from a hub, or
another way to compute; a stranger's file must not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from med42lib.core.errors import DataError
from med42lib.core.json_file import read_json

CONFIG_FILE = "config.json"
_ADVICE = "fetch the model again"
_ATTENTION = (None, "eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3")
_EXPERTS = (None, "eager", "batched_mm", "grouped_mm")
_ALLOWED: dict[str, tuple[object, ...]] = {
    "_attn_implementation": _ATTENTION,
    "attn_implementation": _ATTENTION,
    "_experts_implementation": _EXPERTS,
    "experts_implementation": _EXPERTS,
    "transformers_weights": (None,),
    "fusion_config": (None, {}),
    "_auto_class": (None,),
}
"""What entries that choose code may say; `model_loading` sets the attention that is really used.

Another attention or experts implementation is the name of a kernel, to be downloaded from a hub and run.
`transformers_weights` names other weights, pickles too; `auto_map` is left alone, since we never load remote code.
"""
_QUANTISED = ("quantization_config", "compression_config")
_COUNTED = ("layer", "expert", "label")
_UNCOUNTED = re.compile("vocab|_size$")
"""Sizes: Gemma 4's `vocab_size_per_layer_input`, Qwen2's `shared_expert_intermediate_size`."""
POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx")
"""What architectures call the length of their context; the first of them that a config.json has counts."""

_NUMBER_FORMATS = ("torch_dtype", "dtype")
"""What transformers 4 and 5 call the weights' number format; 5 reads both."""

_EXPERT_COUNTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_MOST_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The entries of a config.json that are used here; None where it has none. Sizes are those of the text model.

    `num_positions` is `max_position_embeddings` or what older architectures call it, `architecture` the first one.
    """

    path: Path
    model_type: str | None
    architecture: str | None
    vocab_size: int | None
    num_positions: int | None


def read_config(folder: Path, advice: str) -> ModelConfig:
    """Read the config.json of a Hugging Face folder.

    Args:
        folder: Holds it.
        advice: What to do if it cannot be used, as the end of a sentence.

    Raises:
        DataError: If it is missing or broken, holds values of the wrong kind, says that the weights are quantised, or
            chooses code.
    """
    path = folder / CONFIG_FILE
    stated = read_json(path, advice)
    for key, value in _entries(stated):
        _check_entry(path, key, value)
    text = of_text(stated)
    return ModelConfig(
        path=path,
        model_type=_text(path, stated, "model_type"),
        architecture=_first_architecture(path, stated),
        vocab_size=_size(path, text, "vocab_size"),
        num_positions=next((size for name in POSITIONS if (size := _size(path, text, name))), None),
    )


def write_config(base: Path, folder: Path, *, dtype: str) -> None:
    """Write a base's config.json for what was trained from it: as it is, but for the weights' number format.

    transformers 5 would write it in other words than those that transformers 4, and vLLM with it, look for: they would
    take their own defaults, such as another `rope_theta`, without an error.

    Args:
        base: The base model's folder.
        folder: Receives config.json.
        dtype: Number format of the weights, as "bfloat16".
    """
    stated = read_json(base / CONFIG_FILE, _ADVICE)
    names = [name for name in _NUMBER_FORMATS if name in stated] or _NUMBER_FORMATS[:1]
    _write(folder, stated | dict.fromkeys(names, dtype))


def add_older_names(folder: Path) -> None:
    """Add to a config.json of transformers 5 the names that transformers 4 has for the same, as `write_config` says."""
    stated = read_json(folder / CONFIG_FILE, _ADVICE)
    older: dict[str, Any] = {"torch_dtype": stated["dtype"]} if "dtype" in stated else {}
    rotation = stated.get("rope_parameters") or {}
    if "rope_theta" in rotation:
        older["rope_theta"] = rotation["rope_theta"]
        scaling = {name: value for name, value in rotation.items() if name != "rope_theta"}
        older["rope_scaling"] = None if scaling.get("rope_type") == "default" else scaling
    _write(folder, older | stated)


def _write(folder: Path, stated: Mapping[str, Any]) -> None:
    (folder / CONFIG_FILE).write_text(json.dumps(stated, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def check_vocabulary(config: ModelConfig, num_tokens: int) -> None:
    """Make sure that every token of the model's tokenizer has an embedding, if config.json says how many there are.

    Args:
        config: The model's.
        num_tokens: One more than the highest id that the tokenizer gives.

    Raises:
        DataError: If the tokenizer knows more tokens than the model.
    """
    if config.vocab_size is not None and num_tokens > config.vocab_size:
        raise DataError(
            f"the tokenizer has {num_tokens:,} tokens but the model embeds {config.vocab_size:,} "
            f"(vocab_size in {config.path}): they belong to different models"
        )


def of_text(stated: Mapping[str, Any]) -> dict[str, Any]:
    """Give the content of a config.json with the entries of its `text_config`, if it has one, in place of its own."""
    text = stated.get("text_config")
    return {**stated, **text} if isinstance(text, dict) else {**stated}


def has_experts(stated: Mapping[str, Any]) -> bool:
    """Say whether the content of a config.json describes a mixture of experts."""
    return any(stated.get(name) for name in _EXPERT_COUNTS)


def _entries(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Go through all entries, those of nested configurations (`text_config`) too, however deep they are nested."""
    waiting = [values]
    while waiting:
        for key, value in waiting.pop().items():
            yield key, value
            if isinstance(value, dict):
                waiting.append(value)


def _check_entry(path: Path, key: str, value: Any) -> None:
    if key in _QUANTISED and value:
        method = value.get("quant_method", value) if isinstance(value, dict) else value
        raise DataError(
            f"{path} says that the weights are quantised ({key}: {_short(method)}); such weights cannot be trained, "
            "use the model's unquantised ones"
        )
    if key.startswith("__") or value not in _ALLOWED.get(key, (value,)):
        raise DataError(
            f"{path} chooses which code runs ({key}: {_short(value)}), which a model from elsewhere must not; "
            "remove that entry if you trust the model without it"
        )
    counted = any(word in key for word in _COUNTED) and not _UNCOUNTED.search(key)
    if isinstance(value, int) and counted and not 0 <= value <= _MOST_COUNTED:
        raise DataError(f"{path} says {key}: {_short(value)}, expected a number from 0 to {_MOST_COUNTED:,}")


def _first_architecture(path: Path, stated: dict[str, Any]) -> str | None:
    names = stated.get("architectures") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path} says architectures: {_short(names)}, expected a list of names")
    return names[0] if names else None


def _text(path: Path, stated: dict[str, Any], key: str) -> str | None:
    value = stated.get(key)
    if value is not None and not isinstance(value, str):
        raise DataError(f"{path} says {key}: {_short(value)}, expected a name")
    return value or None


def _size(path: Path, stated: dict[str, Any], key: str) -> int | None:
    value = stated.get(key)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise DataError(f"{path} says {key}: {_short(value)}, expected a positive whole number")
    return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]} ..."
