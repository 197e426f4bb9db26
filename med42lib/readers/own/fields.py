"""What the fields of a user's own rows are called: as the settings say, or by one of the usual names.

The usual names are those of TRL, axolotl and LLaMA-Factory, so that a file made for these is read as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from med42lib.formats.rejects import BadRecord
from med42lib.readers.cleaning import is_blank
from med42lib.readers.fields import text_value

Format = Literal["conversations", "instruction", "multiple_choice"]
"""A shape of rows."""

FieldMapping = Mapping[str, str | tuple[str, ...]]
"""The `fields` of the settings: a part's name to its field; of `options`, also to several columns."""

USUAL_NAMES: Mapping[Format, Mapping[str, tuple[str, ...]]] = {
    "conversations": {
        "messages": ("messages", "conversations", "conversation"),
        "role": ("role", "from"),
        "content": ("content", "value"),
        "system": ("system",),
        "id": ("id",),
    },
    "instruction": {
        "instruction": ("instruction", "prompt", "question"),
        "input": ("input", "query", "context"),
        "output": ("output", "completion", "response", "answer"),
        "system": ("system",),
        "history": ("history",),
        "question": (),
        "id": ("id",),
    },
    "multiple_choice": {
        "question": ("question",),
        "options": ("options", "choices"),
        "answer": ("answer_idx", "answer_index", "answer", "answerKey", "label"),
        "context": ("context",),
        "explanation": ("explanation", "exp"),
        "subject": ("subject", "subject_name"),
        "id": ("id",),
    },
}
"""Of each shape, its parts, and the fields that are looked for where `fields` names none, in this order."""


@dataclass(frozen=True, slots=True)
class FieldNames:
    """Where the parts of a row of one shape are looked for; `columns` if each option has one of its own.

    `ignored` are fields that are not looked at, whatever they are called.
    """

    names: Mapping[str, tuple[str, ...]]
    columns: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @classmethod
    def of(cls, format_: Format, mapping: FieldMapping, ignored: tuple[str, ...] = ()) -> FieldNames:
        """Take the names that the settings give, and the usual ones of all other parts."""
        given = {part: (name,) for part, name in mapping.items() if isinstance(name, str)}
        columns = next((names for names in mapping.values() if not isinstance(names, str)), ())
        return cls({**USUAL_NAMES[format_], **given}, columns, ignored)

    def find(self, row: Mapping[str, Any], part: str) -> tuple[str, Any]:
        """Give the field that holds a part, and its value; None as the value if no field holds any.

        Raises:
            BadRecord: If two fields do, since one of them would be lost.
        """
        held = [(name, value) for name in self.names[part] if not is_empty(value := row.get(name))]
        if len(held) > 1:
            names = " and ".join(name for name, _ in held)
            raise BadRecord(
                f"{names} could both be the {part}; say in `fields` which is, or name the other in `ignore`"
            )
        return held[0] if held else (" or ".join(self.names[part]), None)

    def text(self, row: Mapping[str, Any], part: str) -> str:
        """Give a part that has to be there, without white space around it.

        Raises:
            BadRecord: If it is missing, blank or not text.
        """
        name, value = self.find(row, part)
        return text_value(value, name)

    def optional_text(self, row: Mapping[str, Any], part: str) -> str:
        """Give a part that may be missing, and is empty then.

        Raises:
            BadRecord: If it is not text.
        """
        name, value = self.find(row, part)
        return "" if value is None else text_value(value, name)

    def id(self, row: Mapping[str, Any]) -> str:
        """Give the row's own id, a text or a whole number; empty if it has none."""
        name, value = self.find(row, "id")
        return "" if value is None else text_or_number(value, name)


def is_empty(value: object) -> bool:
    """Say whether a field holds nothing: null, blank, or an empty list or object, be it written as text."""
    if isinstance(value, str):
        text = value.strip()
        return is_blank(text) or text in ("[]", "{}")
    return value is None or (isinstance(value, list | dict | tuple) and not value)


def text_or_number(value: object, name: str) -> str:
    """Take a value that names something: a text or a whole number.

    Raises:
        BadRecord: If it is missing, blank or something else.
    """
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else text_value(value, name)


def group_of(row: Mapping[str, Any], field: str | None) -> str:
    """Give a row's group, by the field that the settings name; empty if they name none.

    Raises:
        BadRecord: If the row has no group: nobody could say on which side of a split it belongs.
    """
    return "" if field is None else text_or_number(row.get(field), field)


def written_value(value: object, name: str) -> Any:
    """Read a list or an object that is written as JSON in a text, as a table's cell has it; others stay as they are.

    Raises:
        BadRecord: If a text begins as one and is none.
    """
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise BadRecord(f"{name} begins like JSON and is none", str(error)) from None
