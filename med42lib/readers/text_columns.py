"""Columns of texts, cleaned and hashed at once: each exactly as `cleaning.clean` and `records.content_hash` define it.

Most texts are plain, and cleaning does not change them; Arrow finds those without making Python objects of them.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from med42lib.readers.cleaning import clean

_MAY_CHANGE = r"[^\t\n -~]|\A\s|\s\z"
"""What `clean` may change: all but ASCII that is seen, and white space at either end."""


def python_objects(column: pa.Array) -> list[Any]:
    """Give a column of text or of bytes as Python's objects, ten times as fast as `to_pylist`."""
    objects: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
    return objects


def clean_texts(texts: pa.StringArray) -> pa.StringArray:
    """Clean every text of a column; null stays null."""
    may_change = pc.fill_null(pc.match_substring_regex(texts, _MAY_CHANGE), False)
    suspects = python_objects(texts.filter(may_change))
    if not suspects:
        return texts
    return pc.replace_with_mask(texts, may_change, pa.array([clean(text) for text in suspects], pa.string()))


def conversations(exchanges: pa.ListArray, *, between: str) -> pa.StringArray:
    """Join what is said in each row, without the system prompt, with `between` after each text but the last."""
    turns = exchanges.values
    texts = pc.binary_join_element_wise(turns.field("prompter"), turns.field("assistant"), between)
    return pc.binary_join(pa.ListArray.from_arrays(exchanges.offsets, texts), between)


def content_digests(*columns: pa.StringArray) -> list[bytes]:
    """Hash the texts of each row: what `content_hash` writes in hexadecimal, whole and as bytes."""
    return _digests(_joined(*map(_with_length, columns)))


def conversation_digests(system: pa.StringArray, exchanges: pa.ListArray) -> list[bytes]:
    """Hash conversations as an example's id does: system prompt, then prompter and assistant by turns."""
    turns = exchanges.values
    texts = _joined(_with_length(turns.field("prompter")), _with_length(turns.field("assistant")))
    conversations = pc.binary_join(pa.ListArray.from_arrays(exchanges.offsets, texts), b"")
    return _digests(_joined(_with_length(system), conversations))


def _digests(column: pa.BinaryArray) -> list[bytes]:
    return [hashlib.sha256(content).digest() for content in python_objects(column)]


def _with_length(texts: pa.StringArray) -> pa.BinaryArray:
    """Put each text's length in bytes, as eight bytes, before the text."""
    lengths = pc.binary_length(texts).to_numpy().astype(">u8")
    prefixes = pa.FixedSizeBinaryArray.from_buffers(pa.binary(8), len(lengths), [None, pa.py_buffer(lengths)])
    return _joined(prefixes.cast(pa.binary()), texts.cast(pa.binary()))


def _joined(*columns: pa.BinaryArray) -> pa.BinaryArray:
    return pc.binary_join_element_wise(*columns, b"")
