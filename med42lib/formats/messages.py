"""Training examples in the form that other trainers read: TRL, axolotl and LLaMA-Factory.

    system "Be kind.", exchanges [{"prompter": "Fever?", "assistant": "Yes."}]
    →  messages [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Fever?"},
                 {"role": "assistant", "content": "Yes."}]

A file of its own and no column of `examples.parquet`, which would grow by two thirds (measured on a tenth of the
paper's mixture: 44 MB and 29 MB).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from med42lib.formats.dataset import ROWS_PER_GROUP, SCHEMA, read_examples
from med42lib.formats.records import Example

Message = dict[str, str]

MESSAGES = pa.schema(
    [
        *(SCHEMA.field(name) for name in ("id", "source", "licence")),
        pa.field("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])), nullable=False),
    ]
)


def messages(example: Example) -> list[Message]:
    """Write a conversation as messages; an empty system text gives none."""
    return list(_spoken(example))


def _spoken(example: Example) -> Iterator[Message]:
    if example.system:
        yield {"role": "system", "content": example.system}
    for exchange in example.exchanges:
        yield {"role": "user", "content": exchange.prompter}
        yield {"role": "assistant", "content": exchange.assistant}


def write_messages(folder: Path, path: Path) -> int:
    """Write the examples in `folder` to a Parquet file of `MESSAGES`, in their order; returns how many.

    Holds one row group in memory. A file that was there is replaced when all is written.
    """
    rows = map(_row, read_examples(folder))
    count, unfinished = 0, path.with_name(f".{path.name}.part")
    try:
        with pq.ParquetWriter(unfinished, MESSAGES, compression="zstd") as writer:
            while group := list(islice(rows, ROWS_PER_GROUP)):
                writer.write_table(pa.Table.from_pylist(group, schema=MESSAGES))
                count += len(group)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def _row(example: Example) -> dict[str, object]:
    return {
        "id": example.id,
        "source": example.source,
        "licence": example.licence,
        "messages": messages(example),
    }
