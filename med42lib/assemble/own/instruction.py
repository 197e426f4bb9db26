"""A user's instructions: `instruction`, `input` and `output`, or TRL's `prompt` and `completion`.

    {"instruction": "Name the vitamin.", "input": "It prevents scurvy.", "output": "Vitamin C"}
    {"prompt": "Which vitamin prevents scurvy?", "completion": "Vitamin C"}

The input follows the instruction on a line of its own. LLaMA-Factory's `history`, pairs of what was asked and answered
before, comes first. Prompt and completion may be lists of messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from med42lib.assemble.own.messages import check_can_be_taught, exchanges_of
from med42lib.assemble.source import Conversation
from med42lib.formats.records import Exchange
from med42lib.formats.rejects import BadRecord
from med42lib.readers.fields import text_value
from med42lib.readers.own.fields import USUAL_NAMES, FieldNames, group_of, is_empty, written_value

_MESSAGES = FieldNames(USUAL_NAMES["conversations"])


def instruction_conversation(row: Mapping[str, Any], names: FieldNames, group: str | None) -> Conversation:
    """Read one row.

    Raises:
        BadRecord: If there is nothing asked or answered, or it cannot be taught.
    """
    check_can_be_taught(row)
    _check_is_no_other_shape(row)
    system, exchanges = _spoken(row, names)
    beside = names.optional_text(row, "system")
    if system and beside:
        raise BadRecord("there is a system text among the messages and another beside them", beside)
    exchanges = (*_history(row, names), *exchanges)
    question = exchanges[0].prompter
    return Conversation(names.id(row), exchanges, question, system or beside or None, group=group_of(row, group))


def _check_is_no_other_shape(row: Mapping[str, Any]) -> None:
    if isinstance(row.get("label"), bool):
        raise BadRecord("an answer with a verdict (`label`) cannot be taught; keep the rows that are right, without it")
    for name in ("options", "choices"):
        if not is_empty(row.get(name)):
            raise BadRecord("the row has options; its format is multiple_choice", f"it has {name}")


def _spoken(row: Mapping[str, Any], names: FieldNames) -> tuple[str, tuple[Exchange, ...]]:
    field, asked = names.find(row, "instruction")
    answer_field, answer = names.find(row, "output")
    if isinstance(asked, list) and isinstance(answer, list):
        return exchanges_of([*asked, *answer], _MESSAGES, name=f"{field} and {answer_field}")
    instruction = "" if asked is None else text_value(asked, field)
    prompter = "\n".join(filter(None, (instruction, names.optional_text(row, "input"))))
    if not prompter:
        raise BadRecord(f"{field} is missing; name the field in `fields`", repr(list(row)))
    return "", (Exchange(prompter, text_value(answer, answer_field)),)


def _history(row: Mapping[str, Any], names: FieldNames) -> tuple[Exchange, ...]:
    field, value = names.find(row, "history")
    pairs = [] if value is None else written_value(value, field)
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise BadRecord(f"{field} is not a list of pairs, asked and answered", repr(value))
    return tuple([Exchange(*(text_value(text, f"a text of {field}") for text in pair)) for pair in pairs])
