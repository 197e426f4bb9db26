"""Rows and histories as text: marked by colour on a terminal, by characters elsewhere."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from med42lib.core.printable import one_line, printable, shortened
from med42lib.core.progress import TERMINAL_VARIABLE
from med42lib.formats.contamination import Detector, Label
from med42lib.inspection.find import SourceRows
from med42lib.inspection.history import Assembled, Compared, History
from med42lib.inspection.packed import Packed, Piece, Token
from med42lib.inspection.raw import RawRecord

Field = tuple[str, str]
LABEL_WIDTH = 14
MAX_CHARACTERS = 3_000
_FILES_WITH_LINES = (".csv", ".jsonl", ".jsonl.gz", ".csv.gz")
_BOLD, _DIM, _UNDERLINED, _GREEN = "1", "2", "4", "32"


def use_colour() -> bool:
    """Say whether standard output is a terminal, and colour not switched off (https://no-color.org)."""
    on_terminal = sys.stdout.isatty() or os.environ.get(TERMINAL_VARIABLE) == "1"
    return on_terminal and not os.environ.get("NO_COLOR")


@dataclass(frozen=True, slots=True)
class Style:
    """Marks for headings, labels and tokens."""

    colour: bool

    @property
    def legend(self) -> str:
        """Explain the marks of tokens."""
        if self.colour:
            sample = self.token("loss", loss=True, odd=False)
            return f"{sample} {self.dim('no loss; every other token is underlined')}"
        return "[token] has loss, ·token has none"

    def heading(self, text: str) -> str:
        """Mark a heading."""
        return self._sent(text, _BOLD)

    def dim(self, text: str) -> str:
        """Mark what matters less."""
        return self._sent(text, _DIM)

    def token(self, text: str, *, loss: bool, odd: bool) -> str:
        """Mark a token by whether it has loss, and set it off from its neighbours."""
        if not self.colour:
            return f"[{text}]" if loss else f"·{text}"
        return self._sent(text, _GREEN if loss else _DIM, *([_UNDERLINED] if odd else []))

    def token_width(self, text: str, *, loss: bool) -> int:
        """Count the columns that `token` fills."""
        return len(text) + (0 if self.colour else 1 + loss)

    def _sent(self, text: str, *codes: str) -> str:
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if self.colour and text else text


def listing_lines(listed: list[SourceRows], address: str, style: Style, width: int) -> Iterator[str]:
    """Write the rows out, one line each."""
    yield f"{sum(source.num_rows for source in listed):,} training rows in {one_line(address)}"
    for source in listed:
        yield ""
        yield f"{style.heading(one_line(source.source))} {style.dim(f'{source.num_rows:,} rows')}"
        for id, question in source.rows:
            id = one_line(id)
            room = max(20, width - len(id) - 4)
            yield f"  {id}  {style.dim(shortened(one_line(' '.join(question.split())), room))}"
    yield ""
    yield "the same command with --id ID shows one row's history"


def history_lines(history: History, style: Style, width: int) -> Iterator[str]:
    """Write a history out, line by line, at most `width` characters each."""
    yield style.heading(one_line(history.id))
    yield from _field("in", f"{history.run}, made {history.created_at}", style, width)
    for note in history.notes:
        yield from _field("note", note, style, width)
    sections: list[tuple[str, Iterable[Field]]] = [
        ("1 raw", _raw(history.raw)),
        (f"2 {history.assemble.stage}", _assembled(history.assemble)),
        ("3 decontaminate", _compared(history.decontaminate)),
        ("4 pack", _packed(history.pack)),
    ]
    for title, fields in sections:
        yield ""
        yield style.heading(one_line(title))
        for label, text in fields:
            yield from _field(label, text, style, width)
    if history.pack is not None:
        yield from _pieces(history.pack, style, width)


def _field(label: str, text: str, style: Style, width: int) -> Iterator[str]:
    """Put the label before the first line, and the others below it."""
    if len(text) > MAX_CHARACTERS:
        text = f"{text[:MAX_CHARACTERS]}\n… {len(text) - MAX_CHARACTERS:,} more characters: --json shows them"
    room = max(20, width - LABEL_WIDTH - 2)
    for paragraph in printable(text).split("\n"):
        for line in textwrap.wrap(paragraph, room, tabsize=4, replace_whitespace=False, break_on_hyphens=False) or [""]:
            yield f"  {style.dim(label.ljust(LABEL_WIDTH))}{line}".rstrip()
            label = ""


def _raw(raw: RawRecord) -> Iterator[Field]:
    unit = "line" if raw.file.endswith(_FILES_WITH_LINES) else "record"
    yield "file", f"{raw.file}, {unit} {raw.number:,}"
    if raw.address:
        yield "folder", raw.address
    yield "sha256", raw.sha256 or "not recorded"
    if raw.note:
        yield "note", raw.note
    if raw.record is not None:
        yield "record", json.dumps(raw.record, ensure_ascii=False, indent=1)


def _assembled(row: Assembled) -> Iterator[Field]:
    example = row.example
    times = f", {len(row.rows)} times" if len(row.rows) > 1 else ""
    yield "row", f"{', '.join(f'{number:,}' for number in row.rows)} of {row.num_rows:,}{times} ({row.address})"
    yield "source", f"{example.source}: {row.share['title']}" if "title" in row.share else example.source
    yield "licence", example.licence
    for name in ("attribution", "citation"):
        if row.share.get(name):
            yield name, row.share[name]
    if "sampled" in row.share:
        yield "sampled", f"{row.share['sampled']:,} of the source's {row.share['kept']:,} usable rows"
    yield "publisher id", example.origin.publisher_id or "(none)"
    if example.group:
        yield "group", example.group
    yield "question", example.question
    yield "system", example.system or "(none)"
    for exchange in example.exchanges:
        yield "prompter", exchange.prompter
        yield "assistant", exchange.assistant


def _compared(found: Compared | None) -> Iterator[Field]:
    if found is None:
        yield "", "no findings in this run"
        return
    items = "evaluation items" if found.num_items is None else f"{found.num_items:,} evaluation items"
    yield "compared", f"its {found.text} with {items}; a pair has a cosine above {found.threshold} ({found.address})"
    yield "pairs", f"{len(found.pairs)}" if found.pairs else "none"
    for pair in found.pairs:
        alone = "" if Detector.COSINE in pair.detectors else ", found by words alone"
        yield f"  {pair.cosine:.4f}", f"{pair.item_id}: {Label(pair.label).heading.lower()}{alone}\n{pair.item_text}"
    if found.nearest:
        yield "nearest to", "\n".join(f"{item.item_id} ({item.cosine:.4f})" for item in found.nearest)
    yield "action", f"{found.action}: {'kept in' if found.kept else 'left out of'} training"


def _packed(packed: Packed | None) -> Iterator[Field]:
    if packed is None:
        yield "", "not packed in this run"
        return
    settings = ", ".join(f"{name} {value}" for name, value in packed.settings.items() if value is not None)
    yield "settings", f"{settings} ({packed.address})"
    for text in (packed.rule, packed.note):
        if text:
            yield "note", text


def _pieces(packed: Packed, style: Style, width: int) -> Iterator[str]:
    shown: set[tuple[int, ...]] = set()
    for piece in packed.pieces:
        yield from _field("chunk", _place(piece, packed.num_chunks), style, width)
        ids = tuple(token.id for token in piece.tokens)
        if ids in shown:
            yield from _field("", "the same tokens again", style, width)
        else:
            yield from token_lines(piece.tokens, style, width)
        shown.add(ids)
    if packed.pieces:
        yield f"  {style.legend}"


def _place(piece: Piece, num_chunks: int) -> str:
    num_loss = sum(token.loss for token in piece.tokens)
    cut = f", from the example's token {piece.offset:,} on" if piece.offset else ""
    return (
        f"{piece.chunk:,} of 0 to {num_chunks - 1:,}, slots {piece.start:,} to {piece.stop - 1:,}{cut}: "
        f"{len(piece.tokens):,} tokens, {num_loss:,} of them with loss"
    )


def token_lines(tokens: Iterable[Token], style: Style, width: int) -> Iterator[str]:
    """Write tokens one after the other, each with its mark, breaking lines where the text does and where they end."""
    line, used = "    ", 4
    for number, token in enumerate(tokens):
        text = _token_text(token)
        length = style.token_width(text, loss=token.loss)
        if used + length > width and used > 4:
            yield line
            line, used = "    ", 4
        line += style.token(text, loss=token.loss, odd=bool(number % 2))
        used += length
        if token.text and token.text.endswith("\n"):
            yield line
            line, used = "    ", 4
    if used > 4:
        yield line


def _token_text(token: Token) -> str:
    if token.text is None:
        return f"{token.id}"
    return printable(token.text or "…").replace("\n", "⏎").replace("\t", "⇥")
