"""A conversation as a list of messages: who speaks, and what they say.

    [{"role": "user", "content": "What is X?"}, {"role": "assistant", "content": "It is Y."}]
    [{"from": "human", "value": "What is X?"}, {"from": "gpt", "value": "It is Y."}]

A system text may come first (an empty one means that none is taught); then user and assistant take turns, and the
assistant has the last word. What Med42's prompt format cannot say is refused by name: tool calls, images, preferences,
and answers that are not to be taught.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from med42lib.formats.records import Exchange
from med42lib.formats.rejects import BadRecord
from med42lib.readers.fields import text_value
from med42lib.readers.own.fields import FieldNames, is_empty, written_value

_ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatgpt"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
}
_TOOL_ROLES = frozenset(("tool", "function", "function_call", "function_response", "observation", "ipython"))

_TOOLS = "a tool call cannot be taught"
_MEDIA = "an image, sound or video cannot be taught"
_PREFERENCE = "a preference pair cannot be taught; give the answer that was chosen as the answer"
_REASONING = "reasoning apart from the answer cannot be taught; write it into the answer, or leave it out"
_NOT_TAUGHT = {
    **dict.fromkeys(("tools", "tool_calls", "tool_call_id", "functions", "function_call"), _TOOLS),
    **dict.fromkeys(("image", "images", "audio", "audios", "video", "videos"), _MEDIA),
    **dict.fromkeys(("chosen", "rejected", "kto_tag"), _PREFERENCE),
    **dict.fromkeys(("reasoning_content", "reasoning", "thinking"), _REASONING),
}


def check_can_be_taught(fields: Mapping[str, Any]) -> None:
    """Make sure that a row, or a message, has in it nothing that the prompt format cannot say.

    Raises:
        BadRecord: If it has.
    """
    for name, reason in _NOT_TAUGHT.items():
        if name in fields and not is_empty(fields[name]):
            raise BadRecord(reason, f"it has {name}")


def exchanges_of(value: object, names: FieldNames, *, name: str) -> tuple[str | None, tuple[Exchange, ...]]:
    """Read a list of messages: the system text, None if there is none, and what is asked and answered in turn.

    Args:
        value: The list, or the JSON text of one.
        names: Where role and content of a message are.
        name: The list's field, for reasons.

    Raises:
        BadRecord: If it is no such list, or holds what cannot be taught.
    """
    messages = written_value(value, name)
    if not isinstance(messages, list) or not messages:
        raise BadRecord(f"{name} is not a list of messages", repr(value))
    said = list(_each_said(messages, names))
    has_system = said[0][0] == "system"
    system = said[0][1] if has_system else None
    return system, tuple(_in_turn(said[has_system:], first=1 + has_system))


def _each_said(messages: Sequence[object], names: FieldNames) -> Iterator[tuple[str, str]]:
    for number, message in enumerate(messages, start=1):
        try:
            yield _said(message, names)
        except BadRecord as error:
            detail = f": {error.detail}" if error.detail else ""
            raise BadRecord(error.reason, f"message {number}{detail}") from None


def _said(message: object, names: FieldNames) -> tuple[str, str]:
    if not isinstance(message, dict):
        raise BadRecord("a message is not an object of role and content", repr(message))
    check_can_be_taught(message)
    _, role = names.find(message, "role")
    name, content = names.find(message, "content")
    if isinstance(role, str) and role.lower() in _TOOL_ROLES:
        raise BadRecord(_TOOLS, f"a message is of the role {role!r}")
    speaker = _ROLES.get(role.lower()) if isinstance(role, str) else None
    if speaker is None:
        raise BadRecord("a message is of no known role; known are system, user and assistant", repr(role))
    if speaker == "assistant" and any(message.get(mark) in (0, False) for mark in ("weight", "train", "training")):
        raise BadRecord("an answer is marked as one not to be taught; leave such conversations out", repr(content))
    if content is None and speaker != "system":
        raise BadRecord(f"{name} is missing", speaker)
    return speaker, "" if content is None else _text(content, name)


def _text(content: object, name: str) -> str:
    """Take what is said: a text, or parts of which all are texts."""
    if not isinstance(content, list):
        return text_value(content, name)
    parts = []
    for part in content:
        if not isinstance(part, dict) or part.get("type", "text") != "text":
            raise BadRecord(_MEDIA, repr(part))
        parts.append(text_value(part.get("text"), "a part's text"))
    return "\n".join(parts)


def _in_turn(said: Sequence[tuple[str, str]], *, first: int) -> Iterator[Exchange]:
    """Pair questions and answers; the `first` message's number is for reasons."""
    for number, (speaker, text) in enumerate(said):
        if speaker == "system":
            raise BadRecord(
                "a system text stands inside the conversation, not before it", f"message {first + number}: {text}"
            )
        if speaker != ("user", "assistant")[number % 2]:
            raise BadRecord(
                "user and assistant do not take turns, the user first", f"message {first + number}: {speaker}"
            )
    if not said or len(said) % 2:
        raise BadRecord("the last message has no answer", said[-1][1] if said else "")
    for (_, asked), (_, answer) in zip(said[::2], said[1::2], strict=True):
        yield Exchange(asked, answer)
