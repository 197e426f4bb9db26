"""Questions with options as a user writes them, for training and for benchmarks.

    {"question": "Scurvy is a lack of what?", "options": ["Iron", "Vitamin C"], "answer": "B"}

Options are a list, of texts or of objects with a key and a text; an object of letters, or of `text` and `label`, two
lists; or columns, `A` and `B`, `option_a` and `option_b`, `choice0` and `choice1` and so on, or those that `fields`
lists. Letters that the texts themselves begin with, `A. Iron`, are taken off: they would be written twice. The answer
is as `answers` says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from med42lib.core.printable import counted
from med42lib.formats.rejects import BadRecord, Reject
from med42lib.readers.fields import mapping
from med42lib.readers.files import DataFile
from med42lib.readers.own.answers import Answers, Meanings, meanings, way_of_answers
from med42lib.readers.own.fields import FieldNames, group_of, is_empty, text_or_number, written_value
from med42lib.readers.own.tables import rows_of
from med42lib.readers.parsers import Record, each
from med42lib.readers.publishers.question import Question, checked_options, lettered, seems_missing

_COLUMNS: tuple[tuple[str, ...], ...] = (
    tuple(ascii_uppercase),
    tuple(ascii_lowercase),
    *(
        tuple(f"{stem}{sign}" for sign in signs)
        for stem in ("option", "option_", "choice", "choice_", "op", "ending")
        for signs in (ascii_uppercase, ascii_lowercase, tuple(map(str, range(26))), tuple(map(str, range(1, 27))))
    ),
)
"""Names of columns that hold one option each; the first names of which two are in a row are meant."""

_LETTERED = re.compile(r"\(?([A-Za-z])[).:]\s*(?=\S)")
_SEVERAL = re.compile(r"\W*(?:[A-Za-z]|\d{1,2})(?:\W*[,;&+/|]\W*(?:[A-Za-z]|\d{1,2}))+\W*")
_KEYS, _TEXTS = ("key", "label", "letter"), ("value", "text")


@dataclass(frozen=True, slots=True)
class OwnQuestion:
    """A question, with the subject that it is of and the group that it belongs to; either may be empty.

    `had_letters` says that its options began with their letters.
    """

    question: Question
    subject: str
    group: str
    had_letters: bool = False


@dataclass(frozen=True, slots=True)
class _Row:
    """A question whose answer was not yet read: what it may mean, and how it is written."""

    question: Question
    subject: str
    group: str
    had_letters: bool
    answer: str
    meanings: Meanings


def own_questions(
    files: Sequence[DataFile],
    names: FieldNames,
    *,
    answers: Answers | None,
    group: str | None = None,
    first_rows: int | None = None,
    notes: list[str],
) -> Iterator[Record[OwnQuestion] | Reject]:
    """Read the questions of some files.

    Args:
        files: The files, which are read twice if `answers` is None.
        names: Where the parts of a row are.
        answers: The way in which answers are written; None: that of the rows.
        group: The field of a row's group, if it has one.
        first_rows: How many to read; None: all.
        notes: Receives which rows show how answers are written, if few do.

    Raises:
        DataError: If a file cannot be read, or nobody can tell how answers are written.
    """

    def build(value: Any) -> _Row:
        return _row(mapping(value), names, group)

    def rows() -> Iterator[Record[_Row] | Reject]:
        return each(rows_of(files, names.ignored, first_rows), build)

    if answers is None:
        found = (record for record in rows() if isinstance(record, Record))
        answers = way_of_answers(((f"{record.file}:{record.line}", record.value.meanings) for record in found), notes)
    way = answers
    return each(rows(), lambda row: _answered(row, way))


@dataclass(slots=True)
class _Seen:
    """How many questions a note is about, and where the first is; its text is not for logs, where notes are told."""

    number: int = 0
    first: str = ""

    def add(self, record: Record[OwnQuestion]) -> None:
        self.number += 1
        self.first = self.first or f"{record.file}:{record.line}"


def noted(
    questions: Iterable[Record[OwnQuestion] | Reject], notes: list[str]
) -> Iterator[Record[OwnQuestion] | Reject]:
    """Pass questions on, and note at the end how many had lettered options, and how many seem to lack something."""
    with_letters, missing = _Seen(), _Seen()
    for record in questions:
        if isinstance(record, Record):
            question = record.value.question
            if record.value.had_letters:
                with_letters.add(record)
            if seems_missing(question):
                missing.add(record)
        yield record
    if with_letters.number:
        what = counted(with_letters.number, "question")
        notes.append(
            f"the options of {what} began with their letters, such as 'A. ', which were taken off, first at "
            f"{with_letters.first}"
        )
    if missing.number:
        what = counted(missing.number, "question")
        notes.append(
            f"{what} may be about a figure or a patient that is not there, and asked all the same, first at "
            f"{missing.first}"
        )


def _answered(row: _Row, way: Answers) -> OwnQuestion:
    if way not in row.meanings:
        read = f", read as {way.replace('_', ' ')}" if row.meanings else ", names none"
        what = f"{row.answer}{read}; {len(row.question.options)} options"
        raise BadRecord("the answer is outside the options", what)
    return OwnQuestion(replace(row.question, gold=row.meanings[way]), row.subject, row.group, row.had_letters)


def _row(row: Mapping[str, Any], names: FieldNames, group: str | None) -> _Row:
    text = names.text(row, "question")
    written, numbered = _options(row, names)
    options = _without_letters(written)
    answer, means = _answer(row, names, (written, options), numbered)
    subject_field, subject = names.find(row, "subject")
    question = Question(
        publisher_id=names.id(row),
        text=text,
        options=options,
        gold=0,
        context=names.optional_text(row, "context"),
        explanation=names.optional_text(row, "explanation"),
        own=True,
    )
    return _Row(
        question,
        "" if subject is None else text_or_number(subject, subject_field),
        group_of(row, group),
        options != written,
        answer,
        means,
    )


def _without_letters(options: tuple[str, ...]) -> tuple[str, ...]:
    """Take off the letters that options begin with, if each begins with its own."""
    found = [_LETTERED.match(option) for option in options]
    if "".join(match[1] if match else " " for match in found).upper() != ascii_uppercase[: len(options)]:
        return options
    return tuple([_LETTERED.sub("", option, count=1) for option in options])


def _names_several(answer: object, forms: Sequence[Sequence[str]]) -> bool:
    """Say whether an answer is a list of several, or letters or numbers in a row, which are no option themselves."""
    if isinstance(answer, list):
        return len(answer) > 1
    is_list = isinstance(answer, str) and _SEVERAL.fullmatch(answer.strip()) is not None
    return is_list and not any(meanings(answer, options) for options in forms)


def _answer(
    row: Mapping[str, Any], names: FieldNames, forms: Sequence[Sequence[str]], ruled_out: Answers | None
) -> tuple[str, Meanings]:
    """Give what the first field that holds the answer says, and may mean beside others that say it once more.

    `answer_idx` 1 of MedQA may be either of two options; with `answer` "Iron" beside it, it is that one. `forms` are
    the options as they are written and without their letters: the answer may repeat either.

    Raises:
        BadRecord: If there is none, or two disagree.
    """
    held = [(name, value) for name in names.names["answer"] if not is_empty(value := row.get(name))]
    if not held or held[0][1] in (-1, "-1"):
        raise BadRecord("the question has no answer", held[0][0] if held else " or ".join(names.names["answer"]))
    if any(_names_several(value, forms) for _, value in held):
        raise BadRecord("more than one right answer cannot be asked", repr(held[0][1]))
    said = " beside ".join(f"{name} = {value!r}" for name, value in held)

    def meant(value: object) -> Meanings:
        found = {way: place for options in forms for way, place in meanings(value, options).items()}
        return {way: place for way, place in found.items() if way != ruled_out}

    (field, answer), *others = held
    found = meant(answer)
    for other, value in others:
        places = meant(value).values()
        agreed = {way: place for way, place in found.items() if not places or place in places}
        if found and not agreed:
            raise BadRecord(f"{other} and {field} disagree", f"{said}; name the right one: `fields: {{answer: …}}`")
        found = agreed
    return said, found


def _options(row: Mapping[str, Any], names: FieldNames) -> tuple[tuple[str, ...], Answers | None]:
    """Give the options, and the way of counting them that their own numbers rule out, if they have numbers."""
    if names.columns:
        return checked_options(_without_empty_end([row.get(name) for name in names.columns])), None
    field, value = names.find(row, "options")
    value = written_value(value, field)
    if value is None:
        return checked_options(_columns(row)), None
    if isinstance(value, list):
        return _listed(value, field)
    if isinstance(value, dict) and isinstance(value.get("text"), list):
        return _labelled(value.get("label"), value["text"], field)
    if isinstance(value, dict):
        by_letter = {str(key).upper(): text for key, text in value.items() if text is not None}
        return checked_options(lettered(by_letter)), None
    raise BadRecord(f"{field} is neither a list of options nor an object of them", repr(value))


def _listed(value: Sequence[Any], field: str) -> tuple[tuple[str, ...], Answers | None]:
    if not all(isinstance(option, dict) for option in value):
        return checked_options(_without_empty_end(value)), None
    keys = [next((option[key] for key in _KEYS if key in option), None) for option in value]
    texts = [next((option[key] for key in _TEXTS if key in option), None) for option in value]
    return _labelled(keys, texts, field)


def _labelled(labels: object, texts: Sequence[Any], field: str) -> tuple[tuple[str, ...], Answers | None]:
    """Take options with labels beside them, which must be letters, or numbers from 0 or from 1, in order."""
    options = checked_options(texts)
    said = [str(label).upper() for label in labels] if isinstance(labels, list) else []
    orders: tuple[tuple[Sequence[str], Answers | None], ...] = (
        (ascii_uppercase, None),
        ([str(number) for number in range(26)], "number_from_1"),
        ([str(number) for number in range(1, 27)], "number_from_0"),
    )
    for order, ruled_out in orders:
        if said == list(order[: len(options)]):
            return options, ruled_out
    raise BadRecord(f"the labels of {field} are not A, B, C or 1, 2, 3 in order", repr(labels))


def _columns(row: Mapping[str, Any]) -> list[Any]:
    names = option_columns(row)
    if not names:
        raise BadRecord("the question has no options; name their field, or their columns, in `fields`", repr(list(row)))
    return _without_empty_end([row.get(name) for name in names])


def option_columns(row: Mapping[str, Any]) -> list[str]:
    """Name the columns of a row that are called as options are; empty if there are none."""
    for names in _COLUMNS:
        there = [name for name in names if name in row]
        if len(there) > 1 and there == list(names[: len(there)]):
            return there
    return []


def _without_empty_end(options: Sequence[Any]) -> list[Any]:
    """Leave out empty options at the end, which rows with fewer options have in a table."""
    kept = list(options)
    while kept and is_empty(kept[-1]):
        kept.pop()
    return kept
