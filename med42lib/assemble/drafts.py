"""Drafts in columns, and the examples made of them: facts of the source added, texts cleaned, ids computed.

Readers give drafts one by one, or, where a publisher's columns are a draft's already, as tables of `DRAFTS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from med42lib.assemble.source import Draft, TrainingSource
from med42lib.core.hashing import CONTENT_HASH_DIGITS
from med42lib.formats.dataset import SCHEMA
from med42lib.formats.prompt import DEFAULT_SYSTEM
from med42lib.readers.parsers import Record
from med42lib.readers.text_columns import clean_texts, conversation_digests

ROWS_PER_BATCH = 1024
CHARACTERS_PER_BATCH = 4_000_000
BYTES_PER_BATCH = 16_000_000

EXCHANGES = SCHEMA.field("exchanges").type
DRAFTS = pa.schema(
    [
        SCHEMA.field("publisher_id"),
        SCHEMA.field("file"),
        SCHEMA.field("line"),
        pa.field("licence", pa.string()),  # null: the source's
        pa.field("system", pa.string()),  # null: the usual one
        pa.field("question", pa.string()),  # null: the first prompter
        SCHEMA.field("exchanges"),
    ]
)


def batches(drafts: Iterable[Record[Draft] | pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Gather drafts that come one by one into batches of `DRAFTS`; batches keep their place, and large ones are cut."""
    gathered: list[Record[Draft]] = []
    characters = 0
    for draft in drafts:
        if isinstance(draft, Record):
            gathered.append(draft)
            characters += _characters(draft.value)
            if len(gathered) < ROWS_PER_BATCH and characters < CHARACTERS_PER_BATCH:
                continue
        if gathered:
            batch, gathered, characters = _columns(gathered), [], 0
            yield batch
        if not isinstance(draft, Record):
            yield from _portions(draft)
    if gathered:
        yield _columns(gathered)


def _characters(draft: Draft) -> int:
    said = sum([len(exchange.prompter) + len(exchange.assistant) for exchange in draft.exchanges])
    return said + len(draft.question) + len(draft.system or "")


def _portions(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cut a batch into pieces of some `BYTES_PER_BATCH`, which are copies: a slice would keep all of it."""
    size = max(1, len(batch) * BYTES_PER_BATCH // max(batch.nbytes, BYTES_PER_BATCH))
    for start in range(0, len(batch), size):
        yield batch if size == len(batch) else batch.take(pa.array(range(start, min(start + size, len(batch)))))


def in_order_of_lines(batch: pa.RecordBatch, records: Sequence[Record[Draft]]) -> pa.RecordBatch:
    """Put single drafts among those of a batch from the same file."""
    if not records:
        return batch
    together = pa.Table.from_batches([batch, _columns(records)])
    [ordered] = together.take(pc.sort_indices(together["line"])).combine_chunks().to_batches()
    return ordered


def _columns(records: Sequence[Record[Draft]]) -> pa.RecordBatch:
    drafts = [record.value for record in records]
    said = [exchange for draft in drafts for exchange in draft.exchanges]
    exchanges = exchange_lists(
        pa.array([exchange.prompter for exchange in said], pa.string()),
        pa.array([exchange.assistant for exchange in said], pa.string()),
        np.cumsum([0, *(len(draft.exchanges) for draft in drafts)], dtype=np.int32),
    )
    columns = {
        "publisher_id": [draft.publisher_id for draft in drafts],
        "file": [record.file for record in records],
        "line": [record.line for record in records],
        "licence": [draft.licence or None for draft in drafts],
        "system": [draft.system for draft in drafts],
        "question": [None if d.question == d.exchanges[0].prompter else d.question for d in drafts],
        "exchanges": exchanges,
    }
    return pa.RecordBatch.from_pydict(columns, schema=DRAFTS)


def exchange_lists(prompters: pa.StringArray, assistants: pa.StringArray, offsets: NDArray[np.int32]) -> pa.ListArray:
    """Make conversations of their turns: the `n`-th has turns `offsets[n]` to before `offsets[n + 1]`."""
    turns = pa.StructArray.from_arrays([prompters, assistants], fields=list(EXCHANGES.value_type))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), turns, type=EXCHANGES)


def examples(drafts: pa.RecordBatch, source: TrainingSource, licence: str | None) -> pa.RecordBatch:
    """Add the source's own facts to drafts, clean their texts, and name them by their content.

    Args:
        drafts: Rows of `DRAFTS`.
        source: Where they are from.
        licence: Replaces whatever record and source say of theirs.

    Returns:
        As many rows of `core.dataset.SCHEMA`, in the same order.
    """
    turns = drafts["exchanges"].values
    prompters, assistants = (clean_texts(turns.field(side)) for side in ("prompter", "assistant"))
    exchanges = exchange_lists(prompters, assistants, drafts["exchanges"].offsets.to_numpy())
    system = clean_texts(pc.fill_null(drafts["system"], DEFAULT_SYSTEM))
    first_prompters = prompters.take(drafts["exchanges"].offsets[:-1])
    columns = {
        "id": _ids(source.name, system, exchanges),
        "source": pa.repeat(source.name, len(drafts)),
        "licence": pa.repeat(licence, len(drafts)) if licence else pc.fill_null(drafts["licence"], source.licence),
        "system": system,
        "question": pc.coalesce(clean_texts(drafts["question"]), first_prompters),
        "exchanges": exchanges,
        **{name: drafts[name] for name in ("publisher_id", "file", "line")},
    }
    return pa.RecordBatch.from_pydict(columns, schema=SCHEMA)


def _ids(source: str, system: pa.StringArray, exchanges: pa.ListArray) -> list[str]:
    digests = conversation_digests(system, exchanges)
    return [f"{source}/{digest.hex()[:CONTENT_HASH_DIGITS]}" for digest in digests]
