"""What pack made of a row: its tokens, where they lie and which of them have loss, or the rule that dropped it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from med42lib.core.errors import Med42Error
from med42lib.core.hashing import content_hash
from med42lib.core.json_file import read_json_lines
from med42lib.core.library_errors import library_errors
from med42lib.formats.dataset import EXAMPLES_FILE
from med42lib.formats.model_folder import MODEL_FOLDER, TOKENIZER_FILE
from med42lib.formats.packed import IGNORED_LABEL, PackedDataset, PackInfo
from med42lib.formats.rejects import REJECTS_FILE
from med42lib.inspection.find import ExampleFinder
from med42lib.store.artifacts import Source
from med42lib.store.lineage import Lineage, Output

_INCOMPLETE = "\ufffd"
_HELD_OUT = "held out of training, which measures its loss on it (validation_share)"


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


@dataclass(frozen=True, slots=True)
class Packed:
    """Where a row's tokens lie, in the order of the chunks; no pieces if it was dropped.

    `rule` says by which rule it was dropped, held out or cut; empty if by none. `note` says what could not be found.
    """

    address: str
    settings: Mapping[str, Any]
    num_chunks: int
    pieces: tuple[Piece, ...]
    rule: str
    note: str


def packed_row(id: str, output: Output, lineage: Lineage, cache: Path) -> Packed:
    """Find a row in packed chunks.

    Args:
        id: The row's id.
        output: Of pack.
        lineage: What that was made from.
        cache: Where remote files are fetched to.

    Raises:
        DataError: If the packed files are broken.
    """
    packed = PackedDataset(output.source.path())
    config = output.manifest.config
    pieces: tuple[Piece, ...] = ()
    note = ""
    rule = "" if id in packed.sample_ids else _why_dropped(id, output, lineage)
    if not rule:
        tokenizer, note = _tokenizer(output, cache)
        pieces = pieces_of(packed, id, tokenizer)
        held_out = any(piece.chunk in packed.validation_chunks for piece in pieces)
        rule = _HELD_OUT if held_out else _why_cut(pieces, output.manifest.setting("too_long"), packed.info)
    return Packed(output.source.address, config, packed.validation_chunks.stop, pieces, rule, note)


def _tokenizer(output: Output, cache: Path) -> tuple[Tokenizer | None, str]:
    """Load the model's tokenizer; without it, say why."""
    address = output.manifest.input("model").address
    try:
        source = Source(address, cache=cache / content_hash(address))
        return load_tokenizer(source.reach(f"{MODEL_FOLDER}/{TOKENIZER_FILE}")), ""
    except Med42Error as error:
        return None, f"tokens are shown by their numbers, since the tokenizer cannot be read any more: {error}"


def _why_dropped(id: str, output: Output, lineage: Lineage) -> str:
    """Look the reason up: rejects name a row by its number in what pack read."""
    address = output.manifest.input("dataset").address
    read = next((o for o in lineage.outputs if o.source.address == address), None)
    if read is None:
        return f"dropped; the data set that pack read is no longer there ({address})"
    rows = ExampleFinder(read.source.path(EXAMPLES_FILE).parent).rows(id).get(id, [])
    if not rows:
        return f"not packed: {read.manifest.stage} left it out"
    for _, reject in read_json_lines(output.source.path(REJECTS_FILE), "run pack again"):
        if reject.get("line") in rows:
            return f"dropped: {reject['reason']} ({reject['detail']})"
    return "dropped; the reason is not recorded"


def _why_cut(pieces: tuple[Piece, ...], too_long: str, info: PackInfo) -> str:
    """Say whether it was truncated: a whole sample ends with the end-of-text token."""
    fills = any(piece.stop - piece.start == info.chunk_length for piece in pieces)
    if too_long == "truncate" and fills and pieces[0].tokens[-1].id != info.eos_token_id:
        return f"cut to its first {info.chunk_length:,} tokens, a chunk (too_long: truncate)"
    return ""


def load_tokenizer(path: Path) -> Tokenizer:
    """Read a `tokenizer.json`; the light way, since tokens are only written out here.

    Raises:
        DataError: If the file is broken.
    """
    with library_errors(path, "fetch the model again"):
        return Tokenizer.from_file(str(path))


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
        for number in range(packed.validation_chunks.stop)
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
