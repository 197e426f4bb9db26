"""Which files of a Hugging Face folder make up the model."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

from med42lib.core.errors import DataError
from med42lib.core.json_file import read_json
from med42lib.formats.model_config import CONFIG_FILE
from med42lib.formats.model_folder import (
    GENERATION_FILE,
    PROCESSOR_FILES,
    TOKENIZER_FILE,
    TOKENIZER_FILES,
    is_terms_text,
)
from med42lib.store.artifacts import Source
from med42lib.store.names import checked_name

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
ADVICE = "fetch it again"
_COMPANIONS = (*TOKENIZER_FILES, *PROCESSOR_FILES, GENERATION_FILE)
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def wanted_files(weights: Source) -> list[str]:
    """List the files to take: settings, tokenizer, processor, weights (one file, or an index and its shards), licence.

    Weights stored twice (a `consolidated.safetensors` beside the shards) are taken once.

    Raises:
        DataError: If one of them is missing, or the weights exist only as pickles.
    """
    names = {entry.path for entry in weights.files}
    if INDEX_FILE in names:
        shards = [INDEX_FILE, *shards_of(weights.path(INDEX_FILE))]
    elif WEIGHTS_FILE in names:
        shards = [WEIGHTS_FILE]
    else:
        raise DataError(_no_weights(weights.address, names))
    needed = [CONFIG_FILE, TOKENIZER_FILE, *shards]
    if missing := [name for name in needed if name not in names]:
        raise DataError(_missing(weights.address, missing))
    return sorted({*needed, *names.intersection(_COMPANIONS), *terms_texts(weights)})


def terms_texts(weights: Source) -> list[str]:
    """List the texts of the model's terms: licence, notices, policy of use."""
    return [entry.path for entry in weights.files if is_terms_text(entry.path)]


def shards_of(index: Path) -> list[str]:
    """Read the names of the weight files off an index, sorted."""
    return sorted(set(tensors_by_shard(index)))


def tensors_by_shard(index: Path) -> dict[str, set[str]]:
    """Read off an index which tensors each weight file has to hold.

    Raises:
        DataError: If it is not an index of files in its own folder.
    """
    weight_map = read_json(index, ADVICE).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise DataError(f"{index} has no weight_map; it is not an index of weights, {ADVICE}")
    shards: dict[str, set[str]] = {}
    for tensor, shard in weight_map.items():
        name = checked_name(shard, where=str(index))
        if "/" in name or not name.endswith(".safetensors"):
            raise DataError(f"{index} names {shard!r} as a weight file; expected *.safetensors beside it")
        shards.setdefault(shard, set()).add(tensor)
    return shards


def _no_weights(address: str, names: set[str]) -> str:
    pickles = sorted(name for name in names if any(fnmatch(name, pattern) for pattern in _PICKLES))
    if pickles:
        return (
            f"{address} holds its weights only as pickles ({pickles[0]}), which can run code when they are loaded; "
            "convert them on a machine you can spare: "
            "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder)"
        )
    if any(name.endswith(".gguf") for name in names):
        return f"{address} holds a .gguf file; set format: gguf"
    return f"{address} holds neither {WEIGHTS_FILE} nor {INDEX_FILE}; check the address"


def _missing(address: str, names: list[str]) -> str:
    advice = "check the address"
    if names == [TOKENIZER_FILE]:
        advice = (
            "it holds the fast tokenizer, whose character offsets the loss mask needs; "
            "AutoTokenizer.from_pretrained(folder).save_pretrained(folder) writes it"
        )
    return f"{address} has no {', '.join(names)}; {advice}"
