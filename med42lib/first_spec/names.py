"""Which field of some rows is which part, where it has another name than usual: by its name and what it holds."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from med42lib.formats.rejects import BadRecord
from med42lib.readers.own.fields import FieldMapping, Format, is_empty, written_value

_QUESTION = re.compile(r"question|query|stem|instruction|prompt|input|vignette|asked|user", re.IGNORECASE)
_ANSWER = re.compile(
    r"answer|correct|output|response|completion|reply|solution|gold|target|key|assistant|^cop$", re.IGNORECASE
)
_NUMBERED = re.compile(r"(.*?)[ _-]?([A-Za-z]|\d{1,2})")
_GROUP = re.compile(
    r"(patient|subject|person|case|encounter|stay|hadm|admission)[ _-]?(id|nr|no|number|key)|mrn|group|group_id",
    re.IGNORECASE,
)
_SPEAKERS = frozenset(("user", "human", "assistant", "gpt", "system"))

Rows = Sequence[Mapping[str, Any]]


def guessed_fields(shape: Format, rows: Rows) -> FieldMapping:
    """Guess what a shape's parts are called in some rows; empty if nothing looks like them."""
    if shape == "conversations":
        return _of_messages(rows)
    return _of_questions(rows) if shape == "multiple_choice" else _of_instructions(rows)


def guessed_group(rows: Rows) -> str:
    """Name the field that says which rows belong together, by its name; all rows have it. Empty if there is none."""
    names = [name for name in _names(rows) if _GROUP.fullmatch(name)]
    return next((name for name in names if all(isinstance(row.get(name), str | int) for row in rows)), "")


def _names(rows: Rows) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row if isinstance(name, str)))


def _of_messages(rows: Rows) -> FieldMapping:
    for name in _names(rows):
        messages = [message for row in rows for message in _objects(row.get(name), name)]
        role = next((key for key in _names(messages) if _speaks(messages, key)), None)
        content = next((key for key in _names(messages) if key != role and _are_texts(messages, key)), None)
        if role and content:
            return {"messages": name, "role": role, "content": content}
    return {}


def _objects(value: object, name: str) -> list[Mapping[str, Any]]:
    try:
        found = written_value(value, name)
    except BadRecord:
        return []
    return [part for part in found if isinstance(part, dict)] if isinstance(found, list) else []


def _speaks(messages: Rows, key: str) -> bool:
    return {str(message.get(key)).lower() for message in messages} <= _SPEAKERS


def _are_texts(messages: Rows, key: str) -> bool:
    return all(isinstance(message.get(key), str) for message in messages)


def _of_questions(rows: Rows) -> FieldMapping:
    columns = _option_columns(rows)
    others = [name for name in _names(rows) if name not in columns]
    lists = [name for name in others if any(isinstance(row.get(name), list | dict) for row in rows)]
    options: str | tuple[str, ...] | None = columns or next(iter(lists), None)
    texts = [name for name in others if name != options]
    question = _first(_QUESTION, texts)
    answer = _first(_ANSWER, [name for name in texts if name != question])
    if not (options and question and answer):
        return {}
    return {"question": question, "options": options, "answer": answer}


def _option_columns(rows: Rows) -> tuple[str, ...]:
    """Find columns that differ in a letter or number at their end alone: `wahl1`, `wahl2`; the most of one stem."""
    by_stem: dict[str, list[str]] = defaultdict(list)
    for name in _names(rows):
        if numbered := _NUMBERED.fullmatch(name):
            by_stem[numbered[1]].append(name)
    largest = max(by_stem.values(), key=len, default=[])
    return tuple(largest) if len(largest) > 1 else ()


def _of_instructions(rows: Rows) -> FieldMapping:
    texts = [name for name in _names(rows) if any(isinstance(r.get(name), str) and not is_empty(r[name]) for r in rows)]
    answer = _first(_ANSWER, texts)
    question = _first(_QUESTION, [name for name in texts if name != answer])
    return {"instruction": question, "output": answer} if question and answer else {}


def _first(pattern: re.Pattern[str], names: Iterable[str]) -> str | None:
    return next((name for name in names if pattern.search(name)), None)
