"""The base model's config.json: at its address, or known by the model's name, so that no weights need to be here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from med42lib.core.errors import AccessError, DataError, EnvironmentProblem, StoreError, StoreUnavailable
from med42lib.core.json_file import read_json
from med42lib.formats.model_config import CONFIG_FILE, read_config
from med42lib.pack.limits import check_context
from med42lib.spec import RunSpec
from med42lib.store.artifacts import Source

_ADVICE = "check inputs.base_model"


def _llama(
    vocabulary: int, context: int, hidden: int, intermediate: int, layers: int, heads: int, key_value_heads: int
) -> dict[str, int]:
    return {
        "vocab_size": vocabulary,
        "max_position_embeddings": context,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_value_heads,
    }


KNOWN_CONFIGS: Mapping[str, Mapping[str, int]] = {
    "llama-2-7b": _llama(32_000, 4_096, 4_096, 11_008, 32, 32, 32),
    "llama-2-13b": _llama(32_000, 4_096, 5_120, 13_824, 40, 40, 40),
    "llama-2-70b": _llama(32_000, 4_096, 8_192, 28_672, 80, 64, 8),
    "llama-3-8b": _llama(128_256, 8_192, 4_096, 14_336, 32, 32, 8),
    "llama-3-70b": _llama(128_256, 8_192, 8_192, 28_672, 80, 64, 8),
}
"""What the config.json of a published model says, by the model's name in small letters."""


@dataclass(frozen=True, slots=True)
class BaseModel:
    """The content of a base model's config.json, None if neither file nor name is known, and where that was found."""

    config: Mapping[str, Any] | None
    found: str


def find_base(spec: RunSpec, cache: Path) -> BaseModel:
    """Find the base model's config.json; only that file is fetched from a remote place.

    Raises:
        ConfigError: If chunks are longer than the model's context.
        DataError: If the file is broken, or no later stage would take it.
    """
    address = spec.inputs.base_model
    path, why_not = _reach(spec, cache)
    if path is not None:
        num_positions = read_config(path.parent, _ADVICE).num_positions
        check_context(num_positions, address, chunk_length=spec.pack.chunk_length)
        return BaseModel(read_json(path, _ADVICE), address)
    name = known_name(address)
    if name is None:
        return BaseModel(None, why_not)
    config = KNOWN_CONFIGS[name]
    check_context(config["max_position_embeddings"], name, chunk_length=spec.pack.chunk_length)
    return BaseModel(config, f"{name}, whose shapes are known ({why_not})")


def known_name(address: str) -> str | None:
    """Tell which of the known models an address names: `models/Llama-2-7b-hf` is `llama-2-7b`; None if it is none."""
    last = re.sub(r"@[0-9a-f]{40}$", "", address.rstrip("/")).rpartition("/")[2].lower()
    name = last.removeprefix("meta-").removesuffix("-hf")
    return name if name in KNOWN_CONFIGS else None


def _reach(spec: RunSpec, cache: Path) -> tuple[Path | None, str]:
    """Give the path of config.json; None, and why, if it is not to be had."""
    if spec.fetch_model.format != "huggingface":
        return None, f"a {spec.fetch_model.format} file, which has no {CONFIG_FILE} before fetch_model has converted it"
    try:
        return Source(spec.inputs.base_model, cache=cache).reach(CONFIG_FILE), ""
    except (AccessError, DataError, EnvironmentProblem, StoreError, StoreUnavailable) as error:
        return None, str(error)
