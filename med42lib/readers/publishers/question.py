"""A multiple-choice question as every publisher's reader gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from med42lib.formats.rejects import BadRecord
from med42lib.readers.fields import text_field, text_value, written_number


@dataclass(frozen=True, slots=True)
class Question:
    """One question, its options in the publisher's order, and which is right.

    `gold` is 0-based. `publisher_id` is empty where the publisher has none. `context` is what the question refers
    to; `explanation` is the publisher's comment on the answer, which no prompt may show. Two options may read the
    same: some publishers' do.
    """

    publisher_id: str
    text: str
    options: tuple[str, ...]
    gold: int
    context: str = ""
    explanation: str = ""


def id_field(row: Mapping[str, Any], key: str) -> str:
    """Take a record's id, which the hub has as a whole number where the publisher has text.

    Raises:
        BadRecord: If it is missing, blank or something else.
    """
    value = row.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return text_field(row, key)


def gold_of_number(answer: object, num_options: int, *, field: str) -> int:
    """Turn a publisher's 1-based answer, a whole number or its digits, into a 0-based position.

    Raises:
        BadRecord: If there is no answer, or it lies outside the options.
    """
    if answer is None or answer == "":
        raise BadRecord("the question has no answer", field)
    number = written_number(answer)
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= num_options:
        raise BadRecord("the answer is outside the options", f"{field} = {answer!r}, options 1 to {num_options}")
    return number - 1


def gold_of_class_label(answer: object, num_options: int, *, field: str) -> int:
    """Take a 0-based answer of the hub: a number, or its label's name, a letter of either case.

    Raises:
        BadRecord: If there is no answer (the hub writes -1 where the publisher keeps it secret), or it lies outside
            the options.
    """
    if answer is None or answer == "" or answer == -1:
        raise BadRecord("the question has no answer", field)
    if isinstance(answer, str):
        return gold_of_letter(answer.upper(), num_options, field=field)
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < num_options:
        raise BadRecord("the answer is outside the options", f"{field} = {answer!r}, options 0 to {num_options - 1}")
    return answer


def gold_of_letter(answer: object, num_options: int, *, field: str) -> int:
    """Turn a publisher's answer letter into a 0-based position.

    Raises:
        BadRecord: If there is no answer, or it lies outside the options.
    """
    if answer is None or answer == "":
        raise BadRecord("the question has no answer", field)
    letters = ascii_uppercase[:num_options]
    if not isinstance(answer, str) or len(answer) != 1 or answer not in letters:
        raise BadRecord("the answer is outside the options", f"{field} = {answer!r}, options A to {letters[-1]}")
    return letters.index(answer)


def checked_options(options: Sequence[object]) -> tuple[str, ...]:
    """Take options without white space around them.

    Raises:
        BadRecord: If there are fewer than 2 or more than 26, or one is missing, blank or not text.
    """
    if not 2 <= len(options) <= len(ascii_uppercase):
        raise BadRecord("a question needs 2 to 26 options", f"it has {len(options)}")
    return tuple([text_value(option, "an option") for option in options])


def lettered(options: Mapping[str, Any]) -> list[Any]:
    """Put options that stand under letters into the order of the letters.

    Raises:
        BadRecord: If the letters are not A, B, C and so on without a gap.
    """
    letters = ascii_uppercase[: len(options)]
    if set(options) != set(letters):
        raise BadRecord("the options are not lettered A, B, C, …", repr(list(options)))
    return [options[letter] for letter in letters]
