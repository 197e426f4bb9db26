"""The packed tokens of one example, with the text each stands for and whether the loss is computed on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from med42lib.core.errors import DataError
from med42lib.formats.packed import IGNORED_LABEL, PackedDataset

_INCOMPLETE = "\ufffd"


@dataclass(frozen=True, slots=True)
class Token:
    """One slot of a chunk.

    `text` is empty where a character needs several tokens (it stands with the last of them), and None without a
    tokenizer. `loss` says whether the model is taught to predict this token.
    """

    slot: int
    id: int
    text: str | None
    loss: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """The slots `[start, stop)` of a chunk, which hold an example or a part of it.

    `offset` is the first token's place in the example: 0, unless the end of the chunk before cut it.
    """

    chunk: int
    start: int
    stop: int
    offset: int
    tokens: tuple[Token, ...]


def load_tokenizer(path: Path) -> Tokenizer:
    """Read a `tokenizer.json`; the light way, since tokens are only written out here.

    Raises:
        DataError: If the file is broken.
    """
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library has no error of its own
        raise DataError(f"{path} is not a tokenizer ({error}); fetch the model again") from error


def pieces_of(packed: PackedDataset, example_id: str, tokenizer: Tokenizer | None) -> tuple[Piece, ...]:
    """Find where an example lies, in the order of the chunks. Without a tokenizer, tokens have no text."""
    return tuple(
        Piece(
            number,
            placed.start,
            placed.stop,
            placed.offset,
            tokens_of(packed, number, slice(placed.start, placed.stop), tokenizer),
        )
        for number in range(len(packed))
        for placed in packed.samples(number)
        if placed.example_id == example_id
    )


def tokens_of(packed: PackedDataset, number: int, slots: slice, tokenizer: Tokenizer | None) -> tuple[Token, ...]:
    """Read some slots of a chunk."""
    chunk = packed[number]
    ids = chunk.input_ids_L[slots].tolist()
    losses = (chunk.labels_L[slots] != IGNORED_LABEL).tolist()
    texts = [None] * len(ids) if tokenizer is None else texts_of(tokenizer, ids)
    return tuple(Token(slots.start + n, *each) for n, each in enumerate(zip(ids, texts, losses, strict=True)))


def texts_of(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """Write out each token as it reads behind those before it; their texts joined are the whole text.

    Three tokens for "a é", the last two of them one byte each of "é":    "a "   ""   "é"

    The tokenizers library's own stream of this kind gives up on bytes that are no UTF-8, which a cut can leave.
    """
    texts, behind, read = [], 0, 0
    for end in range(1, len(ids) + 1):
        before = tokenizer.decode(ids[behind:read], skip_special_tokens=False)
        text = tokenizer.decode(ids[behind:end], skip_special_tokens=False)[len(before) :]
        whole = not text.endswith(_INCOMPLETE) or end == len(ids)
        texts.append(text if whole else "")
        if whole:
            behind, read = read, end
    return texts
