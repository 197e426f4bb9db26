"""Which texts an encoder does not read whole, and their windows: its tokenizer says it, without its weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from med42lib.core.errors import DataError
from med42lib.core.json_file import read_json
from med42lib.core.library_errors import library_errors
from med42lib.core.progress import track
from med42lib.decontaminate.embedding.layout import ADVICE, Layout, read_layout
from med42lib.decontaminate.embedding.windows import Windows, cut_text
from med42lib.formats.model_config import CONFIG_FILE
from med42lib.formats.tokenizer_loading import check_speed

_TEXTS_PER_CUT = 1_024


@dataclass(frozen=True, slots=True)
class Cutter:
    """An encoder's tokenizer; `max_tokens` are the most that the encoder reads of a text, its own left out."""

    folder: Path
    tokenizer: Any
    max_tokens: int

    @classmethod
    def load(cls, encoder: Path) -> Cutter:
        """Load the tokenizer.

        Args:
            encoder: Folder of a SentenceTransformers model.

        Raises:
            DataError: If it holds no such model, or the tokenizer cannot be loaded.
        """
        layout = read_layout(encoder)
        with library_errors(f"the tokenizer in {encoder}", ADVICE):
            tokenizer = _load(layout)
            if tokenizer.is_fast:
                check_speed(tokenizer.backend_tokenizer, encoder)
            max_tokens = int(tokenizer.model_max_length) - int(tokenizer.num_special_tokens_to_add())
        return cls(encoder, tokenizer, max_tokens)

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
        if not self.tokenizer.is_fast:
            raise DataError(f"the encoder in {self.folder} has no tokenizer.json, which cuts long texts; {ADVICE}")
        with library_errors(f"the tokenizer in {self.folder}", ADVICE, use="applied to a text"):
            found = self.tokenizer(
                texts, add_special_tokens=False, truncation=False, return_offsets_mapping=True, verbose=False
            )
        return [np.array(places, np.intp).reshape(-1, 2) for places in found["offset_mapping"]]


def _load(layout: Layout) -> Any:
    """Load a tokenizer as sentence-transformers does: settings decide how much is read, or else the model's size."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(layout.tokenizer, local_files_only=True, trust_remote_code=False)
    if layout.max_seq_length is not None:
        tokenizer.model_max_length = layout.max_seq_length
    elif (layout.tokenizer / CONFIG_FILE).is_file():
        num_positions = read_json(layout.tokenizer / CONFIG_FILE, ADVICE).get("max_position_embeddings", -1)
        if num_positions != -1:
            tokenizer.model_max_length = min(tokenizer.model_max_length, num_positions)
    if layout.lower_case and tokenizer.is_fast:
        _read_small_letters(tokenizer.backend_tokenizer)
    return tokenizer


def _read_small_letters(backend: Any) -> None:
    from tokenizers import normalizers

    own = [backend.normalizer] if backend.normalizer is not None else []
    backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])
