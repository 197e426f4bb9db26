"""Whether a Hugging Face folder can be trained from: read the headers, not the weights."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

from med42lib.core.errors import DataError
from med42lib.core.json_file import read_json
from med42lib.fetch_model.files import ADVICE, INDEX_FILE, WEIGHTS_FILE, tensors_by_shard
from med42lib.formats.model_folder import CONFIG_FILE, TOKENIZER_FILE


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a folder holds. Tied weights count once, as they are stored; `dtypes` as safetensors names them."""

    architecture: str
    total_parameters: int
    total_bytes: int
    dtypes: tuple[str, ...]
    num_tokens: int


@dataclass(frozen=True, slots=True)
class _Header:
    tensors: frozenset[str]
    num_parameters: int
    dtypes: frozenset[str]


def check_model(folder: Path) -> ModelFacts:
    """Make sure that settings, weights and tokenizer can be read and fit each other.

    Raises:
        DataError: If one of them is missing, broken, or does not fit the others.
    """
    config = read_json(folder / CONFIG_FILE, ADVICE)
    if "model_type" not in config:
        raise DataError(f"{folder / CONFIG_FILE} names no model_type; it is not a model's config.json")
    headers = _read_headers(folder)
    num_tokens = _count_tokens(folder)
    if num_tokens > config.get("vocab_size", num_tokens):
        raise DataError(
            f"the tokenizer has {num_tokens:,} tokens but the model embeds {config['vocab_size']:,} "
            f"(vocab_size in {folder / CONFIG_FILE}): they belong to different models"
        )
    return ModelFacts(
        architecture=str((config.get("architectures") or [config["model_type"]])[0]),
        total_parameters=sum(header.num_parameters for header in headers),
        total_bytes=sum(path.stat().st_size for path in folder.iterdir()),
        dtypes=tuple(sorted(frozenset[str]().union(*(header.dtypes for header in headers)))),
        num_tokens=num_tokens,
    )


def _read_headers(folder: Path) -> list[_Header]:
    """Read the header of every weight file; with an index, each must hold the tensors that it promises."""
    if not (folder / INDEX_FILE).exists():
        return [_read_header(folder / WEIGHTS_FILE)]
    headers = []
    for name, promised in sorted(tensors_by_shard(folder / INDEX_FILE).items()):
        headers.append(_read_header(folder / name))
        if absent := sorted(promised - headers[-1].tensors):
            raise DataError(f"{folder / name} lacks {absent[0]}, which {INDEX_FILE} promises; fetch it again")
    return headers


def _read_header(path: Path) -> _Header:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            return _Header(
                tensors=frozenset(slices),
                num_parameters=sum(prod(tensor.get_shape()) for tensor in slices.values()),
                dtypes=frozenset(tensor.get_dtype() for tensor in slices.values()),
            )
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} is not a whole safetensors file ({error}); fetch it again") from error


def _count_tokens(folder: Path) -> int:
    """Load the tokenizer as every later stage does, and count its tokens."""
    from transformers import AutoTokenizer

    if "model" not in read_json(folder / TOKENIZER_FILE, ADVICE):
        raise DataError(f"{folder / TOKENIZER_FILE} describes no tokenizer; fetch it again")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"the tokenizer in {folder} cannot be loaded: {error}") from error
    if not tokenizer.is_fast:
        raise DataError(
            f"the tokenizer in {folder} ({type(tokenizer).__name__}) is not a fast one: it gives no character "
            "offsets, and the loss mask needs them; use a model with a fast tokenizer"
        )
    return len(tokenizer)
