"""Taking the fields of one record, each with a reason where it cannot be used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from med42lib.formats.rejects import BadRecord
from med42lib.readers.cleaning import is_blank

NAN = "NaN is neither text nor JSON; write null, as pandas' `to_json` does"
"""The reason for what pandas and Python's `json` write where a cell is empty."""

_MOST_DIGITS = 18
"""Python refuses to read numbers of thousands of digits, and no publisher writes one."""


def mapping(value: object) -> Mapping[str, Any]:
    """Take a record as a JSON object.

    Raises:
        BadRecord: If it is something else.
    """
    if not isinstance(value, dict):
        raise BadRecord("the record is not a JSON object", type(value).__name__)
    return value


def written_number(value: object) -> object:
    """Turn digits into the number that they write; anything else stays as it is."""
    if isinstance(value, str) and value.isdecimal() and len(value) <= _MOST_DIGITS:
        return int(value)
    return value


def text_field(record: Mapping[str, Any], key: str) -> str:
    """Take a text field, without white space around it.

    Raises:
        BadRecord: If it is missing, null, blank, NaN, not text, or holds half a surrogate pair.
    """
    return text_value(record.get(key), key)


def text_value(value: object, name: str) -> str:
    """Take a text, without white space around it.

    Args:
        value: What the record holds.
        name: What the value is called, for the reason.

    Raises:
        BadRecord: As in `text_field`.
    """
    if value is None:
        raise BadRecord(f"{name} is missing")
    if isinstance(value, float) and math.isnan(value):
        raise BadRecord(NAN, name)
    if not isinstance(value, str):
        raise BadRecord(f"{name} is not text", repr(value))
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise BadRecord(f"{name} is not valid Unicode", f"character {error.start}") from None
    text = value.strip()
    if is_blank(text):
        raise BadRecord(f"{name} is blank")
    return text


def optional_text(record: Mapping[str, Any], key: str) -> str:
    """Take a text field that may be missing, null or blank: then it is empty.

    Raises:
        BadRecord: If it is not text, or holds half a surrogate pair.
    """
    value = record.get(key)
    if value is None or (isinstance(value, str) and is_blank(value.strip())):
        return ""
    return text_value(value, key)
