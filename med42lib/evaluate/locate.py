"""Where the weights and the tokenizer lie, checked before anything heavy is imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from med42lib.core.errors import DataError
from med42lib.core.json_file import read_json
from med42lib.formats.model_folder import ADAPTER_FOLDER, CONFIG_FILE, MODEL_FOLDER, TOKENIZER_FILE
from med42lib.store.artifacts import Source

_WEIGHTS_SUFFIX = ".safetensors"


@dataclass(frozen=True, slots=True)
class ModelFolders:
    """A complete Hugging Face folder and, for a LoRA fine-tune, the PEFT adapter that goes on top of it."""

    weights: Path
    adapter: Path | None


def locate_model(model: Source, base: Source) -> ModelFolders:
    """Find the folders of the model to score: its own `model/`, or its `peft/` on top of the base's `model/`.

    Raises:
        DataError: If a folder or one of its files is missing or broken.
    """
    if model.has(MODEL_FOLDER):
        return ModelFolders(_complete(model, MODEL_FOLDER, CONFIG_FILE, TOKENIZER_FILE), None)
    if model.has(ADAPTER_FOLDER):
        weights = _complete(base, MODEL_FOLDER, CONFIG_FILE, TOKENIZER_FILE)
        return ModelFolders(weights, _complete(model, ADAPTER_FOLDER, "adapter_config.json"))
    raise DataError(
        f"{model.address} has neither {MODEL_FOLDER}/ nor {ADAPTER_FOLDER}/; give the output of fetch_model or train"
    )


def _complete(source: Source, folder: str, *json_files: str) -> Path:
    names = {entry.path.removeprefix(f"{folder}/") for entry in source.files if entry.path.startswith(f"{folder}/")}
    missing = [name for name in json_files if name not in names]
    if not any(name.endswith(_WEIGHTS_SUFFIX) for name in names):
        missing.append(f"*{_WEIGHTS_SUFFIX}")
    if missing:
        raise DataError(f"{source.address}/{folder} has no {' and no '.join(missing)}; make that model again")
    path = source.path(folder)
    for name in json_files:
        read_json(path / name, "make that model again")  # the libraries tell a broken file by a bare Exception
    return path
