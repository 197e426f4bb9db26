"""What pack made of a row: its tokens and where they lie, or the rule by which it was dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from med42lib.core.errors import Med42Error
from med42lib.core.hashing import content_hash
from med42lib.core.json_file import read_json_lines
from med42lib.formats.dataset import EXAMPLES_FILE
from med42lib.formats.model_folder import MODEL_FOLDER, TOKENIZER_FILE
from med42lib.formats.packed import PackedDataset, PackInfo
from med42lib.formats.rejects import REJECTS_FILE
from med42lib.inspection.find import ExampleFinder
from med42lib.inspection.tokens import Piece, load_tokenizer, pieces_of
from med42lib.store.artifacts import Source
from med42lib.store.lineage import Lineage, Output

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True, slots=True)
class Packed:
    """Where a row's tokens lie, in the order of the chunks; no pieces if it was dropped.

    `rule` says by which rule it was dropped or cut; empty if neither. `note` says what could not be found out.
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
        rule = _why_cut(pieces, output.manifest.setting("too_long"), packed.info)
    return Packed(output.source.address, config, len(packed), pieces, rule, note)


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
