"""Which way the answers of a user's own questions are written: by letter, by number from 0 or from 1, by text.

    options                answer   reads as
    "Iron", "Vitamin C"    "B"      letter
    "Iron", "Vitamin C"    1        number_from_0, number_from_1
    "Iron", "Vitamin C"    2        number_from_1
    "B", "A"               "A"      letter (the first), text (the second)

One row can be read in several ways, so all rows of a data set are looked at: one way must do for every row that can be
read at all. If several do and differ, or none does, nothing is guessed; the settings have to say `answers`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from string import ascii_uppercase
from typing import Literal, get_args

from med42lib.core.errors import DataError
from med42lib.readers.fields import written_number

Answers = Literal["letter", "number_from_0", "number_from_1", "text"]
"""A way of writing which option is right."""

WAYS: tuple[Answers, ...] = get_args(Answers)
_LETTER = re.compile(r"\(?([A-Za-z])[).:]?")


class UnclearAnswers(DataError):
    """The rows do not say how their answers are written; `ways` are those in which some can be read."""

    def __init__(self, message: str, ways: Sequence[Answers] = ()) -> None:  # without `ways` it could not be unpickled
        super().__init__(message)
        self.ways = tuple(ways)


Meanings = Mapping[Answers, int]
"""The 0-based position that an answer means, by each way in which it can be read."""


def meanings(answer: object, options: Sequence[str]) -> Meanings:
    """Read an answer in every way in which it names one of the options."""
    found = {
        "letter": _position_of_letter(answer),
        "number_from_0": _number(answer, 0),
        "number_from_1": _number(answer, 1),
        "text": _position_of_text(answer, options),
    }
    return {way: place for way in WAYS if (place := found[way]) is not None and 0 <= place < len(options)}


def _position_of_letter(answer: object) -> int | None:
    letter = _LETTER.fullmatch(answer.strip()) if isinstance(answer, str) else None
    return ascii_uppercase.index(letter[1].upper()) if letter else None


def _number(answer: object, base: int) -> int | None:
    number = written_number(answer.strip() if isinstance(answer, str) else answer)
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    return number - base if isinstance(number, int) and not isinstance(number, bool) else None


def _position_of_text(answer: object, options: Sequence[str]) -> int | None:
    if not isinstance(answer, str | int | float):
        return None
    said = " ".join(str(answer).split())
    return next((place for place, option in enumerate(options) if option == said), None)


def way_of_answers(found: Iterable[tuple[str, Meanings]], notes: list[str]) -> Answers:
    """Say in which way all answers of a data set are written.

    Args:
        found: Each row's place, `file:line`, and what its answer may mean.
        notes: Receives which rows show it, if the others could be read in another way: they may be mistaken.

    Raises:
        UnclearAnswers: If the rows do not say, or contradict one another.
    """
    first: dict[tuple[tuple[Answers, int], ...], str] = {}
    numbers = Counter[str]()
    for place, meaning in found:
        if meaning:
            numbers[first.setdefault(tuple(meaning.items()), place)] += 1
    rows = [(place, dict(items)) for items, place in first.items()]
    ways = [way for way in WAYS if all(way in meaning for _, meaning in rows)]
    if not ways:
        raise UnclearAnswers(_contradiction(rows), tuple(rows[0][1]))
    unsure = [place for place, meaning in rows if len({meaning[way] for way in ways}) > 1]
    if unsure:
        raise UnclearAnswers(
            f"the answers can be read as {_listed(ways)}, and mean another option each time (first at {unsure[0]}); no "
            f"row tells which is meant: say `answers: {ways[0]}`, or another of {', '.join(WAYS)}",
            ways,
        )
    way = ways[0]
    rivals = [other for other in WAYS if any(meaning.get(other, meaning[way]) != meaning[way] for _, meaning in rows)]
    if rivals:
        notes.append(f"answers are read as {way}, as {_shown(rows, numbers, rivals)}; else say `answers`")
    return way


def _shown(rows: Sequence[tuple[str, Meanings]], numbers: Counter[str], rivals: Sequence[Answers]) -> str:
    """Name the rows that no other way can read, by the first; those against the way that the fewest are against."""
    against = [[place for place, meaning in rows if rival not in meaning] for rival in rivals]
    places = min(against, key=lambda places: sum(numbers[place] for place in places))
    number = sum(numbers[place] for place in places)
    shown = f"{places[0]} alone shows" if number == 1 else f"{number:,} rows show, first {places[0]}"
    return f"{shown} ({number:,} of {numbers.total():,})"


def _contradiction(rows: Sequence[tuple[str, Meanings]]) -> str:
    """Name two rows, or more, that no one way can read."""
    ways, named = set(WAYS), []
    for place, meaning in rows:
        if not ways <= meaning.keys():
            ways &= meaning.keys()
            named.append(f"{_listed(meaning)} ({place})")
        if not ways:
            break
    return (
        f"the answers are written in several ways: as {', as '.join(named)}; say which is meant, `answers: "
        f"{next(iter(rows[0][1]))}` for instance, and the other rows are rejected"
    )


def _listed(ways: Iterable[Answers]) -> str:
    return " or ".join(way.replace("_", " ") for way in ways)
