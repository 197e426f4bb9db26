"""What the model can take, asked before anything is packed for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from med42lib.core.errors import ConfigError, Problem
from med42lib.formats.model_config import CONFIG_FILE, check_vocabulary, read_config


def check_limits(folder: Path, *, chunk_length: int, vocabulary_size: int) -> None:
    """Make sure that chunks are no longer than the model's context, and that every token has an embedding.

    Only what `config.json` states is checked.

    Raises:
        ConfigError: If `chunk_length` exceeds the model's number of positions.
        DataError: If the tokenizer knows more tokens than the model, or the file is broken.
    """
    if not (folder / CONFIG_FILE).is_file():
        return
    stated = read_config(folder, "fetch the model again")
    check_context(stated.num_positions, folder, chunk_length=chunk_length)
    check_vocabulary(stated, vocabulary_size)


def check_context(num_positions: int | None, place: object, *, chunk_length: int) -> None:
    """Make sure that chunks are no longer than the context of the model at a place, if its config.json states it.

    Raises:
        ConfigError: If they are.
    """
    if problems := list(context_problems(num_positions, place, chunk_length=chunk_length)):
        raise ConfigError("settings of pack", problems)


def context_problems(num_positions: int | None, place: object, *, chunk_length: int) -> Iterator[Problem]:
    """Say that chunks are longer than the context of the model at a place, if they are."""
    if num_positions is not None and chunk_length > num_positions:
        what = f"must be at most {num_positions:,}, the context of the model in {place} (given: {chunk_length:,})"
        yield Problem("pack.chunk_length", what)
