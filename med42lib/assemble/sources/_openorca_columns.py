"""OpenOrca's plain rows as columns: of four million rows, few have to become Python objects.

A row is plain if `_openorca` takes it as it is: all its texts are there, and nothing excludes it. This is a module of
its own since it is arithmetic on columns, and a source must be known where there is no pyarrow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from med42lib.assemble.conversations.columns import CONVERSATIONS, exchange_lists
from med42lib.readers.hf_layout import ParquetBatch

_TEXTS = ("id", "system_prompt", "question", "response")
_VISIBLE = "[!-~]"


def split_plain(
    batch: ParquetBatch, collection: str, *, others: Sequence[str], unwanted: Sequence[str]
) -> tuple[pa.RecordBatch, ParquetBatch]:
    """Tell plain rows from those that have to be looked at one by one; the other collections' rows are in neither.

    Args:
        batch: Rows of a file.
        collection: What the ids of wanted rows begin with.
        others: What those of the other collections begin with.
        unwanted: Wordings, in whatever case, that no prompt of a plain row has.

    Returns:
        The plain rows (`CONVERSATIONS`), and the rows that are left.
    """
    schema = batch.rows.schema
    if not all(_is_text(schema, name) for name in _TEXTS) or len(schema) > len(_TEXTS):
        return pa.RecordBatch.from_pylist([], CONVERSATIONS), batch
    of_others = _matches(batch.rows["id"], rf"\A({_any_of(others)})")
    batch = batch.filter(pc.invert(of_others))
    batch.check_texts(_TEXTS)
    rows = batch.rows
    plain = _matches(rows["id"], rf"\A{re.escape(collection)}{_VISIBLE}*\z")
    for name in ("question", "response"):
        plain = pc.and_(plain, _matches(rows[name], _VISIBLE))
    if unwanted:
        plain = pc.and_not(plain, _matches(rows["question"], _any_of(unwanted), ignore_case=True))
    return _conversations(batch.filter(plain)), batch.filter(pc.invert(plain))


def _any_of(texts: Iterable[str]) -> str:
    return "|".join(map(re.escape, texts))


def _is_text(schema: pa.Schema, name: str) -> bool:
    return schema.names.count(name) == 1 and bool(pa.types.is_string(schema.field(name).type))


def _matches(texts: pa.StringArray, pattern: str, *, ignore_case: bool = False) -> pa.BooleanArray:
    return pc.fill_null(pc.match_substring_regex(texts, pattern, ignore_case=ignore_case), False)


def _conversations(batch: ParquetBatch) -> pa.RecordBatch:
    rows = batch.rows
    missing = pa.nulls(len(rows), pa.string())
    columns = {
        "publisher_id": rows["id"],
        "file": pa.repeat(batch.file, len(rows)),
        "line": batch.numbers,
        "licence": missing,
        "system": pc.fill_null(rows["system_prompt"], ""),
        "question": missing,
        "group": missing,
        "exchanges": exchange_lists(rows["question"], rows["response"], np.arange(len(rows) + 1, dtype=np.int32)),
    }
    return pa.RecordBatch.from_pydict(columns, schema=CONVERSATIONS)
