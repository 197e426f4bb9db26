"""Where the weights and the tokenizer lie, checked before anything heavy is imported."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from med42lib.core.errors import DataError
from med42lib.core.json_file import read_json
from med42lib.formats.model_config import CONFIG_FILE, read_config
from med42lib.formats.model_folder import (
    ADAPTER_CONFIG_FILE,
    ADAPTER_FOLDER,
    ADAPTER_WEIGHTS_FILE,
    MODEL_FOLDER,
    TOKENIZER_FILE,
)
from med42lib.store.artifacts import Source

_WEIGHTS_SUFFIX = ".safetensors"
_ADVICE = "make that model again"


@dataclass(frozen=True, slots=True)
class ModelFolders:
    """A complete Hugging Face folder and, for a LoRA fine-tune, the PEFT adapter that goes on top of it."""

    weights: Path
    adapter: Path | None


def locate_model(model: Source, base: Source, *, weights: bool = True) -> ModelFolders:
    """Find the folders of the model to score: its own `model/`, or its `peft/` on top of the base's `model/`.

    Args:
        model: Output of `fetch_model` or `train`.
        base: Output of `fetch_model`.
        weights: Whether weights are wanted; of a remote model they are not fetched otherwise.

    Raises:
        DataError: If a folder or one of its files is missing or broken.
    """
    if model.has(MODEL_FOLDER):
        return ModelFolders(_whole_model(model, weights), None)
    if model.has(ADAPTER_FOLDER):
        return ModelFolders(_whole_model(base, weights), _whole_adapter(model, weights))
    raise DataError(
        f"{model.address} has neither {MODEL_FOLDER}/ nor {ADAPTER_FOLDER}/; give the output of fetch_model or train"
    )


def _whole_model(source: Source, weights: bool) -> Path:
    folder = _complete(source, MODEL_FOLDER, [CONFIG_FILE, TOKENIZER_FILE, f"*{_WEIGHTS_SUFFIX}"], weights)
    read_config(folder, _ADVICE)
    read_json(folder / TOKENIZER_FILE, _ADVICE)
    return folder


def _whole_adapter(source: Source, weights: bool) -> Path:
    folder = _complete(source, ADAPTER_FOLDER, [ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE], weights)
    path = folder / ADAPTER_CONFIG_FILE
    settings = read_json(path, _ADVICE)
    if settings.get("peft_type") != "LORA":
        raise DataError(f"{path} says peft_type: {settings.get('peft_type')!r}, expected 'LORA'; {_ADVICE}")
    for name in ("megatron_config", "layer_replication"):  # imports a library, or copies layers of the base
        if settings.get(name):
            raise DataError(f"{path} says {name}: {settings[name]!r}, which train never writes; {_ADVICE}")
    return folder


def _complete(source: Source, folder: str, patterns: Sequence[str], weights: bool) -> Path:
    names = {entry.path.removeprefix(f"{folder}/") for entry in source.files if entry.path.startswith(f"{folder}/")}
    if missing := [pattern for pattern in patterns if not fnmatch.filter(names, pattern)]:
        raise DataError(f"{source.address}/{folder} has no {' and no '.join(missing)}; {_ADVICE}")
    if not weights:
        source = source.narrowed(tuple(entry for entry in source.files if not entry.path.endswith(_WEIGHTS_SUFFIX)))
    return source.path(folder)
