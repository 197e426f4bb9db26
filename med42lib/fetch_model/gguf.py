"""From a GGUF file (llama.cpp's format, mostly quantised) to a Hugging Face folder."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from med42lib.core.errors import DataError, EnvironmentProblem, install_command
from med42lib.core.library_errors import library_errors
from med42lib.fetch_model.gguf_tokenizers import follow_rules
from med42lib.fetch_model.weight_shapes import module_limit
from med42lib.formats.model_config import add_older_names

_MAGIC = b"GGUF"
_NUM_PARTS = "split.count"
_LICENCE = "general.license"
_FACTORS_OF_ROTATION = ("rope.scaling.factor", "rope.scale_linear")
"""In names of entries by which llama.cpp scales rotary positions: linear and YaRN, and linear in files of 2023."""
_UNSCALED = (0, 1)
_SCALES_ROTATION = ("rope_freqs", "rope_factors")
"""In names of tensors by which it does: Llama 3.1, LongRoPE."""


def convert(file: Path, folder: Path, *, dtype: str) -> str:
    """Write the model and tokenizer of a GGUF file as safetensors and tokenizer.json.

    Quantised weights become the numbers they stand for; the precision lost when the file was made stays lost.

    Args:
        file: The .gguf file.
        folder: Receives the Hugging Face folder.
        dtype: `float32` or `bfloat16`, in which the weights are stored.

    Returns:
        The licence that the file states; empty if it states none.

    Raises:
        DataError: If the file is not a GGUF file, is cut short or part of a split one, or holds a model that
            transformers does not know, positions scaled in a way that it does not read, or a tokenizer whose rules
            are not known.
        EnvironmentProblem: If the package `gguf` is not installed.
    """
    if importlib.util.find_spec("gguf") is None:
        raise EnvironmentProblem(
            f"reading {file.name} needs the Python package gguf; install it in a clone: {install_command('eval')}"
        )
    with file.open("rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            raise DataError(f"{file} does not start with {_MAGIC.decode()}; it is not a GGUF file")
    with library_errors(file, "it may be cut short: fetch it again"):
        model, tokenizer, licence = _load_isolated(file, dtype)
    model.save_pretrained(folder)
    add_older_names(folder)
    tokenizer.save_pretrained(folder)
    return licence


def _load_isolated(file: Path, dtype: str) -> tuple[Any, Any, str]:
    """Load the file from a folder of its own: transformers would obey settings and adapters that lie beside it."""
    with TemporaryDirectory() as folder:
        alone = Path(folder, file.name)
        alone.symlink_to(file.resolve())
        return _load(alone, dtype)


def _load(file: Path, dtype: str) -> tuple[Any, Any, str]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.integrations.gguf import read_gguf_metadata

    from med42lib.formats.model_loading import check_nothing_missing

    metadata, tensors = read_gguf_metadata(str(file))
    if metadata.get(_NUM_PARTS, 1) > 1:
        raise DataError(
            f"{file} is part of a model in {metadata[_NUM_PARTS]} files, which are read as one alone; join them with "
            "llama.cpp's llama-gguf-split --merge FIRST_PART JOINED"
        )
    tokenizer = AutoTokenizer.from_pretrained(
        file.parent, gguf_file=file.name, local_files_only=True, trust_remote_code=False
    )
    follow_rules(tokenizer, metadata, file)
    with module_limit(len(tensors), file):
        model, report = AutoModelForCausalLM.from_pretrained(
            file.parent,
            gguf_file=file.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=getattr(torch, dtype),
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    check_nothing_missing(report)
    _check_rotation(metadata, tensors, model.config, file)
    return model, tokenizer, str(metadata.get(_LICENCE) or "")


def _check_rotation(metadata: Mapping[str, Any], tensors: Iterable[str], description: Any, file: Path) -> None:
    """Refuse a file that scales rotary positions where the model's `PretrainedConfig` does not."""
    factors = [name for name in metadata if any(part in name for part in _FACTORS_OF_ROTATION)]
    scaling = [name for name in factors if metadata[name] not in _UNSCALED]
    scaling += [name for name in tensors if any(part in name for part in _SCALES_ROTATION)]
    rotations = getattr(description, "rope_parameters", None) or {}
    of_layers = [entry for entry in rotations.values() if isinstance(entry, dict)] or [rotations]
    if scaling and all(entry.get("rope_type", "default") == "default" for entry in of_layers):
        raise DataError(
            f"{file} scales its rotary positions ({', '.join(scaling)}), which transformers does not read from a GGUF "
            "file; use the publisher's own weights, with fetch_model.format: huggingface"
        )
