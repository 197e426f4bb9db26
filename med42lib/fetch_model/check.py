"""Whether a Hugging Face folder can be trained from: read the headers, not the weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from med42lib.core.errors import DataError
from med42lib.core.json_file import read_json
from med42lib.core.library_errors import library_errors
from med42lib.core.log import log
from med42lib.fetch_model.files import ADVICE, INDEX_FILE, WEIGHTS_FILE, tensors_by_shard
from med42lib.fetch_model.weight_shapes import check_weight_shapes
from med42lib.formats.model_config import check_vocabulary, read_config
from med42lib.formats.model_folder import GENERATION_FILE
from med42lib.formats.model_loading import load_description
from med42lib.formats.stored_weights import Header, read_headers
from med42lib.formats.tokenizer_loading import NUM_PROBES, load_fast_tokenizer, lost_texts

_WHOLE = "it is not a whole safetensors file: fetch it again"


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """Architecture and size of a model.

    Tied weights count once, as they are stored; `dtypes` as safetensors names them.
    """

    architecture: str
    total_parameters: int
    total_bytes: int
    dtypes: tuple[str, ...]
    num_tokens: int


def check_model(folder: Path) -> ModelSummary:
    """Make sure that settings, weights and tokenizer can be read and fit each other.

    Raises:
        DataError: If one of them is missing, broken, or does not fit the others, or if config.json chooses code.
    """
    config = read_config(folder, ADVICE)
    if config.model_type is None:
        raise DataError(f"{config.path} names no model_type; it is not a model's config.json")
    description = load_description(folder, ADVICE)
    tensors = _read_headers(folder)
    tokenizer = load_fast_tokenizer(folder, ADVICE)
    if lost := lost_texts(tokenizer):
        log("fetch_model").warning(
            "the tokenizer does not give back %d of %d texts that it was tried with, such as %r: what it loses, the "
            "base has not seen either",
            *(len(lost), NUM_PROBES, lost[0]),
        )
    num_tokens = max(len(tokenizer), 1 + max(tokenizer.get_vocab().values(), default=0))
    check_vocabulary(config, num_tokens)
    _check_generation(folder)
    check_weight_shapes(folder, description, tensors, architecture=config.architecture)
    return ModelSummary(
        architecture=config.architecture or config.model_type,
        total_parameters=sum(tensor.num_parameters for tensor in tensors.values()),
        total_bytes=sum(path.stat().st_size for path in folder.iterdir()),
        dtypes=tuple(sorted({tensor.dtype for tensor in tensors.values()})),
        num_tokens=num_tokens,
    )


def _read_headers(folder: Path) -> dict[str, Header]:
    """Read the header of every weight file; with an index, each must hold the tensors that it promises."""
    if not (folder / INDEX_FILE).exists():
        return read_headers(folder / WEIGHTS_FILE, _WHOLE)
    tensors: dict[str, Header] = {}
    for name, promised in sorted(tensors_by_shard(folder / INDEX_FILE).items()):
        found = read_headers(folder / name, _WHOLE)
        if absent := sorted(promised - found.keys()):
            raise DataError(f"{folder / name} lacks {absent[0]}, which {INDEX_FILE} promises; fetch it again")
        tensors |= found
    return tensors


def _check_generation(folder: Path) -> None:
    from transformers import GenerationConfig

    if (folder / GENERATION_FILE).is_file():
        read_json(folder / GENERATION_FILE, ADVICE)
        with library_errors(folder / GENERATION_FILE, ADVICE):
            GenerationConfig.from_pretrained(folder, local_files_only=True)
