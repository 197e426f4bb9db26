"""Conversations in columns, and the examples made of them: facts of the source added, texts cleaned, ids computed.

Readers give conversations one by one, or, where a publisher's columns are a conversation's already, as tables of
`CONVERSATIONS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from med42lib.assemble.source import Conversation, TrainingSource
from med42lib.core.hashing import CONTENT_HASH_DIGITS
from med42lib.formats.dataset import SCHEMA
from med42lib.formats.prompt import DEFAULT_SYSTEM
from med42lib.readers.parsers import Record
from med42lib.readers.text_columns import clean_texts, conversation_digests

ROWS_PER_BATCH = 1024
CHARACTERS_PER_BATCH = 4_000_000
BYTES_PER_BATCH = 16_000_000

EXCHANGES = SCHEMA.field("exchanges").type
CONVERSATIONS = pa.schema(
    [
        SCHEMA.field("publisher_id"),
        SCHEMA.field("file"),
        SCHEMA.field("line"),
        pa.field("licence", pa.string()),  # null: the source's
        pa.field("system", pa.string()),  # null: the usual one
        pa.field("question", pa.string()),  # null: the first prompter
        pa.field("group", pa.string()),  # null: none
        SCHEMA.field("exchanges"),
    ]
)


def batches(conversations: Iterable[Record[Conversation] | pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Gather conversations that come one by one into batches of `CONVERSATIONS`.

    Batches keep their place, and large ones are cut.
    """
    gathered: list[Record[Conversation]] = []
    characters = 0
    for conversation in conversations:
        if isinstance(conversation, Record):
            gathered.append(conversation)
            characters += _characters(conversation.value)
            if len(gathered) < ROWS_PER_BATCH and characters < CHARACTERS_PER_BATCH:
                continue
        if gathered:
            batch, gathered, characters = _columns(gathered), [], 0
            yield batch
        if not isinstance(conversation, Record):
            yield from _portions(conversation)
    if gathered:
        yield _columns(gathered)


def _characters(conversation: Conversation) -> int:
    said = sum([len(exchange.prompter) + len(exchange.assistant) for exchange in conversation.exchanges])
    return said + len(conversation.question) + len(conversation.system or "")


def _portions(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cut a batch into pieces of some `BYTES_PER_BATCH`, which are copies: a slice would keep all of it."""
    size = max(1, len(batch) * BYTES_PER_BATCH // max(batch.nbytes, BYTES_PER_BATCH))
    for start in range(0, len(batch), size):
        yield batch if size == len(batch) else batch.take(pa.array(range(start, min(start + size, len(batch)))))


def in_order_of_lines(batch: pa.RecordBatch, records: Sequence[Record[Conversation]]) -> pa.RecordBatch:
    """Put single conversations among those of a batch from the same file."""
    if not records:
        return batch
    together = pa.Table.from_batches([batch, _columns(records)])
    [ordered] = together.take(pc.sort_indices(together["line"])).combine_chunks().to_batches()
    return ordered


def _columns(records: Sequence[Record[Conversation]]) -> pa.RecordBatch:
    conversations = [record.value for record in records]
    said = [exchange for conversation in conversations for exchange in conversation.exchanges]
    exchanges = exchange_lists(
        pa.array([exchange.prompter for exchange in said], pa.string()),
        pa.array([exchange.assistant for exchange in said], pa.string()),
        np.cumsum([0, *(len(conversation.exchanges) for conversation in conversations)], dtype=np.int32),
    )
    columns = {
        "publisher_id": [conversation.publisher_id for conversation in conversations],
        "file": [record.file for record in records],
        "line": [record.line for record in records],
        "licence": [conversation.licence or None for conversation in conversations],
        "system": [conversation.system for conversation in conversations],
        "question": [None if d.question == d.exchanges[0].prompter else d.question for d in conversations],
        "group": [conversation.group or None for conversation in conversations],
        "exchanges": exchanges,
    }
    return pa.RecordBatch.from_pydict(columns, schema=CONVERSATIONS)


def exchange_lists(prompters: pa.StringArray, assistants: pa.StringArray, offsets: NDArray[np.int32]) -> pa.ListArray:
    """Make conversations of their turns: the `n`-th has turns `offsets[n]` to before `offsets[n + 1]`."""
    turns = pa.StructArray.from_arrays([prompters, assistants], fields=list(EXCHANGES.value_type))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), turns, type=EXCHANGES)


def examples(conversations: pa.RecordBatch, source: TrainingSource, licence: str | None) -> pa.RecordBatch:
    """Add the source's own facts to conversations, clean their texts, and name them by their content.

    Args:
        conversations: Rows of `CONVERSATIONS`.
        source: Where they are from.
        licence: Replaces whatever record and source say of theirs.

    Returns:
        As many rows of `formats.dataset.SCHEMA`, in the same order.
    """
    turns = conversations["exchanges"].values
    prompters, assistants = (clean_texts(turns.field(side)) for side in ("prompter", "assistant"))
    exchanges = exchange_lists(prompters, assistants, conversations["exchanges"].offsets.to_numpy())
    system = clean_texts(pc.fill_null(conversations["system"], DEFAULT_SYSTEM))
    first_prompters = prompters.take(conversations["exchanges"].offsets[:-1])
    columns = {
        "id": _ids(source.name, system, exchanges),
        "source": pa.repeat(source.name, len(conversations)),
        "licence": pa.repeat(licence, len(conversations))
        if licence
        else pc.fill_null(conversations["licence"], source.facts.licence),
        "system": system,
        "question": pc.coalesce(clean_texts(conversations["question"]), first_prompters),
        "group": pc.fill_null(conversations["group"], ""),
        "exchanges": exchanges,
        **{name: conversations[name] for name in ("publisher_id", "file", "line")},
    }
    return pa.RecordBatch.from_pydict(columns, schema=SCHEMA)


def _ids(source: str, system: pa.StringArray, exchanges: pa.ListArray) -> list[str]:
    digests = conversation_digests(system, exchanges)
    return [f"{source}/{digest.hex()[:CONTENT_HASH_DIGITS]}" for digest in digests]
