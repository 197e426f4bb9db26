"""From a GGUF file (llama.cpp's format, mostly quantised) to a Hugging Face folder."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from med42lib.core.errors import DataError, EnvironmentProblem

_MAGIC = b"GGUF"


def convert(file: Path, folder: Path, *, dtype: str) -> None:
    """Write the model and tokenizer of a GGUF file as safetensors and tokenizer.json.

    Quantised weights become the numbers they stand for; the precision lost when the file was made stays lost.

    Args:
        file: The .gguf file.
        folder: Receives the Hugging Face folder.
        dtype: `float32` or `bfloat16`, in which the weights are stored.

    Raises:
        DataError: If the file is not a GGUF file, is cut short, or holds a model transformers does not know.
        EnvironmentProblem: If the package `gguf` is not installed.
    """
    if importlib.util.find_spec("gguf") is None:
        raise EnvironmentProblem(
            f"reading {file.name} needs the Python package gguf; install it with: pip install 'med42-suite[real]'"
        )
    with file.open("rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            raise DataError(f"{file} does not start with {_MAGIC.decode()}; it is not a GGUF file")
    try:
        model, tokenizer = _load(file, dtype)
    except (ValueError, KeyError, IndexError, NotImplementedError, OSError) as error:
        raise DataError(f"{file} cannot be read ({error}); it may be cut short: fetch it again") from error
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _load(file: Path, dtype: str) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    model = AutoModelForCausalLM.from_pretrained(
        file.parent,
        gguf_file=file.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=getattr(torch, dtype),
    )
    return model, tokenizer
