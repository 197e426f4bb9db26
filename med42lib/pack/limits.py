"""What the model can take, asked before anything is packed for it."""

from __future__ import annotations

import json
from pathlib import Path

from med42lib.core.errors import ConfigError, DataError, Problem

MODEL_CONFIG_FILE = "config.json"


def check_limits(folder: Path, *, chunk_length: int, vocabulary_size: int) -> None:
    """Make sure that chunks are no longer than the model's context, and that every token has an embedding.

    Only what `config.json` states is checked.

    Raises:
        ConfigError: If `chunk_length` exceeds the model's number of positions.
        DataError: If the tokenizer knows more tokens than the model, or the file is broken.
    """
    path = folder / MODEL_CONFIG_FILE
    if not path.is_file():
        return
    num_positions, num_embeddings = _stated(path, "max_position_embeddings"), _stated(path, "vocab_size")
    if num_positions is not None and chunk_length > num_positions:
        problem = f"must be at most {num_positions:,}, the context of the model in {folder} (given: {chunk_length:,})"
        raise ConfigError("settings of pack", [Problem("pack.chunk_length", problem)])
    if num_embeddings is not None and vocabulary_size > num_embeddings:
        raise DataError(
            f"the tokenizer in {folder} has token ids up to {vocabulary_size - 1:,}, but the model has only "
            f"{num_embeddings:,} embeddings; use the tokenizer that the model was published with"
        )


def _stated(path: Path, name: str) -> int | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8")).get(name)
    except (ValueError, AttributeError) as error:
        raise DataError(f"{path} is broken ({error}); fetch the model again") from error
    return value if isinstance(value, int) else None
