"""Training examples in Parquet: the one schema that assemble writes and later stages read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from med42lib.core.records import Example, Exchange, Origin

EXAMPLES_FILE = "examples.parquet"
ROWS_PER_GROUP = 8192

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("licence", pa.string(), nullable=False),
        pa.field("publisher_id", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("line", pa.int64(), nullable=False),
        pa.field("system", pa.string(), nullable=False),
        pa.field("question", pa.string(), nullable=False),
        pa.field(
            "exchanges",
            pa.list_(pa.struct([("prompter", pa.string()), ("assistant", pa.string())])),
            nullable=False,
        ),
    ]
)


def write_examples(folder: Path, examples: Iterable[Example]) -> int:
    """Write examples to `folder` in the order given, holding one row group in memory; returns how many."""
    rows = iter(examples)
    count = 0
    with pq.ParquetWriter(folder / EXAMPLES_FILE, SCHEMA, compression="zstd") as writer:
        while group := [_row(example) for example in islice(rows, ROWS_PER_GROUP)]:
            writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))
            count += len(group)
    return count


def count_examples(folder: Path) -> int:
    """Count the examples in `folder` from the file's footer alone."""
    return int(pq.read_metadata(folder / EXAMPLES_FILE).num_rows)


def read_examples(folder: Path) -> Iterator[Example]:
    """Read examples in their stored order, one row group at a time."""
    with pq.ParquetFile(folder / EXAMPLES_FILE) as file:
        for batch in file.iter_batches(ROWS_PER_GROUP):
            yield from (_example(row) for row in batch.to_pylist())


def _row(example: Example) -> dict[str, Any]:
    return {
        "id": example.id,
        "source": example.source,
        "licence": example.licence,
        "publisher_id": example.origin.publisher_id,
        "file": example.origin.file,
        "line": example.origin.line,
        "system": example.system,
        "question": example.question,
        "exchanges": [{"prompter": e.prompter, "assistant": e.assistant} for e in example.exchanges],
    }


def _example(row: dict[str, Any]) -> Example:
    return Example(
        source=row["source"],
        licence=row["licence"],
        system=row["system"],
        exchanges=tuple(Exchange(**exchange) for exchange in row["exchanges"]),
        question=row["question"],
        origin=Origin(row["publisher_id"], row["file"], row["line"]),
    )
