"""A user's conversations: `messages` with role and content, or ShareGPT's `conversations` with from and value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from med42lib.assemble.own.bare_question import without_options
from med42lib.assemble.own.messages import check_can_be_taught, exchanges_of
from med42lib.assemble.source import Conversation
from med42lib.formats.rejects import BadRecord
from med42lib.readers.own.fields import FieldNames, group_of


def conversation_of(row: Mapping[str, Any], names: FieldNames, group: str | None) -> Conversation:
    """Read one row.

    Raises:
        BadRecord: If it is no conversation, or one that cannot be taught.
    """
    check_can_be_taught(row)
    name, messages = names.find(row, "messages")
    if messages is None:
        raise BadRecord(f"{name} is missing; name the field in `fields`", repr(list(row)))
    within, exchanges = exchanges_of(messages, names, name=name)
    beside = names.optional_text(row, "system")
    if within and beside:
        raise BadRecord("there is a system text among the messages and another beside them", beside)
    system = beside or within
    question = without_options(exchanges[0].prompter)
    return Conversation(names.id(row), exchanges, question, system, group=group_of(row, group))
