"""Taking the fields of one record, each with a reason where it cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from med42lib.core.rejects import BadRecord


def mapping(value: object) -> Mapping[str, Any]:
    """Take a record as a JSON object.

    Raises:
        BadRecord: If it is something else.
    """
    if not isinstance(value, dict):
        raise BadRecord("the record is not a JSON object", type(value).__name__)
    return value


def text_field(record: Mapping[str, Any], key: str) -> str:
    """Take a text field, without white space around it.

    Raises:
        BadRecord: If it is missing, null, blank, not text, or holds half a surrogate pair.
    """
    value = record.get(key)
    if value is None:
        raise BadRecord(f"{key} is missing")
    if not isinstance(value, str):
        raise BadRecord(f"{key} is not text", repr(value))
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadRecord(f"{key} is not valid Unicode", f"character {error.start}") from None
    if not value.strip():
        raise BadRecord(f"{key} is blank")
    return value.strip()


def optional_text(record: Mapping[str, Any], key: str) -> str:
    """Take a text field that may be missing, null or blank: then it is empty.

    Raises:
        BadRecord: If it is not text, or holds half a surrogate pair.
    """
    value = record.get(key)
    if value is None or (isinstance(value, str) and not value.strip()):
        return ""
    return text_field(record, key)
