"""A multiple-choice question as every publisher's reader gives it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from med42lib.formats.records import Asked, right_positions
from med42lib.formats.rejects import BadRecord, ExcludedRecord
from med42lib.readers.fields import text_field, text_value, written_number

_LINE_END = re.compile(r"[\r\n\v\f\x85\u2028\u2029]+")
_LAST_SENTENCE = re.compile(r"(?<=[.?!:])\s+(?=\S)")

_MARK = re.compile(r"(?:(?i:point|structure|label|curve|arrow|figure|region|area|letter|marker)\s+)?[A-I]\W?")
_LETTERED_THING = re.compile(
    r"\b(?:clusters?|personality|vitamins?|hepatitis|influenza|flu|blood|ha?emophilia|botulin\w*|immunoglobulins?|strepto\w*"
    r"|chromosomes?|genotypes?|alleles?|bases?|nucleotides?|virus(?:es)?|lipoproteins?|apo\w*|proteins?|factors?|statements?"
    r"|child[- ]pugh|class(?:es)?|grades?|categor(?:y|ies))\b",
    re.IGNORECASE,
)
_PICTURE = r"(?:figures?|fig|images?|pictures?|photographs?|diagrams?|illustrations?|exhibits?|colou?r\s+plates?)"
_SCAN = r"(?:radiographs?|x[ -]?rays?|ct|cect|mri|scans?|graphs?|curves?|ecg|ekg|slides?|videos?|audiograms?)"
_PART = r"(?:structures?|nerves?|muscles?|arter(?:y|ies)|areas?|regions?|parts?|arrows?|points?|zones?|layers?|cells?)"
_FIGURE = re.compile(
    rf"\b(?:marked|labell?ed|indicated)\s+(?:with|by|as|in)\s+(?:(?:the|an?|which)\s+)?(?:\w+\s+)?"
    rf"(?:arrows?|circle|number|letter|asterisk|star|box|line|{_PICTURE})\b"
    rf"|\b(?:marked|arrowed)\s+{_PART}\b"
    rf"|\b(?:shown|depicted|illustrated|pictured|given|seen)\s+(?:below\s+)?in\s+(?:(?:the|this|an?)\s+)?(?:following\s+)?{_PICTURE}\b"
    rf"|\b(?:{_PICTURE}|{_SCAN})\s+(?:\w+\s+)?(?:shown|given|depicted|attached)?\s*(?:below|above)\b"
    rf"|\bgiven\s+(?:below\s+)?(?:{_PICTURE}|{_SCAN})\b|\bslides?\s+shown\b"
    rf"|\b(?:given\s+below|below\s+given)\s+(?:devices?|instruments?|{_PICTURE})\b"
    rf"|\b(?:case|condition|instrument|device|procedure|lesion|flow\s*cha(?:rt)?)\s+(?:is\s+)?shown(?:\s+below|\s*[?:.]|$)"
    rf"|(?<!which of )\bthe\s+following\s+"
    rf"(?:figure|image|picture|photograph|diagram|curve|graph|ecg|ekg|radiograph|x[ -]?ray)\b"
    rf"|\b{_PICTURE}\s+(?:was|is)\s+not\s+provided\b|^\W*{_PICTURE}\s+(?:depicts|shows)\b"
    rf"|\bin\s+this\s+(?:graph|diagram|photograph|radiograph)\b",
    re.IGNORECASE,
)
_PERSON = r"(?:patient|man|woman|boy|girl|child|infant|newborn|neonate|individual|person)"
_THIS_PATIENT = re.compile(rf"\b(?:this|the\s+above)\s+{_PERSON}\b", re.IGNORECASE)
_A_PATIENT = re.compile(rf"\b(?:an?|any|each|every)\s+(?:[\w-]+\s+){{0,5}}{_PERSON}\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Question:
    """One question, its options in the publisher's order, and which is right.

    `gold` is 0-based. `publisher_id` is empty where the publisher has none. `context` is what the question refers
    to, `subject` its specialty or topic; `explanation` is the publisher's comment on the answer, which no prompt may
    show. Two options may read the same: some publishers' do. `asked` says how, where the benchmark does so itself.
    `group` names what it belongs to with others; empty if nobody says so.
    `own` is a user's own question, which is asked whatever `seems_missing` from it.
    """

    publisher_id: str
    text: str
    options: tuple[str, ...]
    gold: int
    context: str = ""
    explanation: str = ""
    subject: str = ""
    asked: Asked | None = None
    group: str = ""
    own: bool = False


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
    """Take options as one line each.

    Raises:
        BadRecord: If there are fewer than 2 or more than 26, or one is missing, blank or not text.
    """
    if not 2 <= len(options) <= len(ascii_uppercase):
        raise BadRecord("a question needs 2 to 26 options", f"it has {len(options)}")
    return tuple(map(option_text, options))


def lettered(options: Mapping[str, Any]) -> list[Any]:
    """Put options that stand under letters into the order of the letters.

    Raises:
        BadRecord: If the letters are not A, B, C and so on without a gap.
    """
    letters = ascii_uppercase[: len(options)]
    if set(options) != set(letters):
        raise BadRecord("the options are not lettered A, B, C, …", repr(list(options)))
    return [options[letter] for letter in letters]


def option_text(value: object) -> str:
    r"""Take an option as one line, without a last line that is nothing but a quote which opens nowhere.

    MedQA has "Pulmonary embolism\n\"" and many like it; broken lines would break the lettered list.

    Raises:
        BadRecord: If it is missing, blank or not text.
    """
    text = text_value(value, "an option")
    lines = [line for line in map(str.strip, _LINE_END.split(text)) if line]
    if len(lines) > 1 and lines[-1] == '"' and text.count('"') % 2:
        lines.pop()
    return " ".join(lines) if len(lines) != 1 else lines[0]


def check_can_be_asked(question: Question) -> None:
    """Make sure that a publisher's question has in it what its answer needs, and any question a choice.

    Raises:
        ExcludedRecord: If a figure or a patient is missing, or all options say the same.
    """
    if len(right_positions(question.options, question.gold)) == len(question.options):
        raise ExcludedRecord("all options say the same", repr(question.options))
    if question.asked or question.own:
        return  # where a benchmark asks by itself, options may be letters alone, and the text may end in "Answer:"
    if missing := seems_missing(question):
        raise ExcludedRecord(*missing)


def seems_missing(question: Question) -> tuple[str, str] | None:
    """Give the reason why a question seems to lack what its answer needs, and the sentence that says so.

    A question about a figure is known by options that are the figure's marks ("A", "B", "C", "D"), or by asking for
    what is marked or shown in it. One that describes a patient and shows a figure besides is asked, as everyone does.
    The rules were made on publishers' files; elsewhere they may err.
    """
    asked = _LAST_SENTENCE.split(question.text.strip())
    if _are_marks(question) or _FIGURE.search(asked[-1]):
        return "the question is about a figure that is not there", asked[-1]
    if not question.context and len(asked) == 1 and _THIS_PATIENT.search(asked[0]) and not _A_PATIENT.search(asked[0]):
        return "the question is about a patient who is not described", asked[0]
    return None


def _are_marks(question: Question) -> bool:
    """Tell marks in a figure from things that have letters for names: "Which cluster ...?", "Hepatitis ...?"."""
    return all(map(_MARK.fullmatch, question.options)) and not _LETTERED_THING.search(question.text)
