"""A user's instructions: `instruction`, `input` and `output`, or TRL's `prompt` and `completion`.

    {"instruction": "Name the vitamin.", "input": "It prevents scurvy.", "output": "Vitamin C"}
    {"prompt": "Which vitamin prevents scurvy?", "completion": "Vitamin C"}

The input follows the instruction on a line of its own. LLaMA-Factory's `history`, pairs of what was asked and answered
before, comes first. Prompt and completion may be lists of messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from med42lib.assemble.own.bare_question import Frames, without_options
from med42lib.assemble.own.messages import check_can_be_taught, exchanges_of
from med42lib.assemble.source import Conversation
from med42lib.formats.records import Exchange
from med42lib.formats.rejects import BadRecord, Reject
from med42lib.readers.fields import mapping, text_value
from med42lib.readers.files import DataFile
from med42lib.readers.own.fields import USUAL_NAMES, FieldNames, group_of, is_empty, written_value
from med42lib.readers.own.multiple_choice import option_columns
from med42lib.readers.own.tables import rows_of
from med42lib.readers.parsers import Record, each

_MESSAGES = FieldNames(USUAL_NAMES["conversations"])


@dataclass(frozen=True, slots=True)
class _Row:
    """A conversation, and the two texts that its question is in; none if the row says which it is, or has but one."""

    conversation: Conversation
    framed: tuple[str, str] | None


def instruction_conversations(
    files: Sequence[DataFile], names: FieldNames, group: str | None, first_rows: int | None = None
) -> Iterator[Record[Conversation] | Reject]:
    """Read the rows of some files, which are read twice: all of them show what of a row is its question."""

    def build(value: Any) -> _Row:
        return _row(mapping(value), names, group)

    def rows() -> Iterator[Record[_Row] | Reject]:
        return each(rows_of(files, names.ignored, first_rows), build)

    frames = Frames()
    for record in rows():
        if isinstance(record, Record) and record.value.framed:
            frames.count(*record.value.framed)
    return each(rows(), lambda row: _with_question(row, frames))


def _with_question(row: _Row, frames: Frames) -> Conversation:
    question = frames.question(*row.framed) if row.framed else row.conversation.question
    return replace(row.conversation, question=without_options(question))


def _row(row: Mapping[str, Any], names: FieldNames, group: str | None) -> _Row:
    """Read one row.

    Raises:
        BadRecord: If there is nothing asked or answered, or it cannot be taught.
    """
    check_can_be_taught(row)
    _check_is_no_other_shape(row, names)
    system, exchanges, framed = _spoken(row, names)
    beside = names.optional_text(row, "system")
    if system and beside:
        raise BadRecord("there is a system text among the messages and another beside them", beside)
    history = _history(row, names)
    exchanges = (*history, *exchanges)
    bare = "" if history else names.optional_text(row, "question")
    conversation = Conversation(
        names.id(row), exchanges, bare or exchanges[0].prompter, beside or system, group=group_of(row, group)
    )
    return _Row(conversation, None if history or bare else framed)


def _check_is_no_other_shape(row: Mapping[str, Any], names: FieldNames) -> None:
    if isinstance(row.get("label"), bool):
        raise BadRecord("an answer with a verdict (`label`) cannot be taught; keep the rows that are right, without it")
    parts = {name for part in names.names.values() for name in part}
    others = {name: value for name, value in row.items() if name not in parts and not is_empty(value)}
    if options := [name for name in ("options", "choices") if name in others] or option_columns(others):
        raise BadRecord(
            "the row has options; its format is multiple_choice, or name them in `ignore`",
            f"it has {', '.join(options)}",
        )


def _spoken(
    row: Mapping[str, Any], names: FieldNames
) -> tuple[str | None, tuple[Exchange, ...], tuple[str, str] | None]:
    """Give the system text, what is asked and answered, and instruction and input where both are there."""
    field, asked = names.find(row, "instruction")
    answer_field, answer = names.find(row, "output")
    if isinstance(asked, list) and isinstance(answer, list):
        return *exchanges_of([*asked, *answer], _MESSAGES, name=f"{field} and {answer_field}"), None
    instruction = "" if asked is None else text_value(asked, field)
    material = names.optional_text(row, "input")
    if not instruction and not material:
        raise BadRecord(f"{field} is missing; name the field in `fields`", repr(list(row)))
    framed = (instruction, material) if instruction and material else None
    prompter = "\n".join(filter(None, (instruction, material)))
    return None, (Exchange(prompter, text_value(answer, answer_field)),), framed


def _history(row: Mapping[str, Any], names: FieldNames) -> tuple[Exchange, ...]:
    field, value = names.find(row, "history")
    pairs = [] if value is None else written_value(value, field)
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise BadRecord(f"{field} is not a list of pairs, asked and answered", repr(value))
    return tuple([Exchange(*(text_value(text, f"a text of {field}") for text in pair)) for pair in pairs])
