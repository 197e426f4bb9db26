r"""Explanations that name the right answer by its letter.

Publishers' explanations often open with the letter, in dozens of spellings. What is made of it:

    publisher's explanation           letters shown                 answered by text
    "Ans. is 'b' i.e., Vitamin C"     "The answer is B. Vitamin C"  "Vitamin C"
    "... So answer is b"              "... So answer is B"          "... So answer is Vitamin C"
    "Answer- C"                       dropped: it says no more      dropped
    "Ans: A. Niacin", B is right      dropped: it contradicts       dropped
    "Option A: too much iron. ..."    kept                          dropped: no options are shown
    "Vitamin B is ..."                kept                          kept

A letter that only stands in a list of the explanation's own ("(a) fever, (b) rash") is left alone: nothing tells it
from an option's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase

_QUOTES = r"[\"'`‘’“”(\[]*"
_CLOSED = r"(?:\s?[\"'’”)\]])*"
# "a" before a word is the article, "e.g." and "c/o" are no letters; "BSolitary" has lost the space after its letter.
_LETTER = (
    rf"{_QUOTES}(?P<letter>(?!a\s+(?!i\.?\s?e\b)[^\WA-Z\d]|e\.?g\b|[a-e]/[a-z])[A-Ea-e])(?![’']s\b)(?:(?!\w)|(?=[A-Z][a-z]))"
    rf"{_CLOSED}"
)
_RIGHT = r"(?i:(?:correct|right|best|single)\s+)"
# So many in a row at most: with no bound, a text of nothing but "correct" would take hours.
_SOME, _ANY = "{1,4}", "{0,4}"
_NAMING = (
    rf"(?:{_RIGHT}{_ANY}(?i:ans(?:wer)?)|{_RIGHT}{_SOME}(?i:option|choice))(?![a-z])"
    r"\W{0,4}?(?i:(?:is|will\s+be|would\s+be|should\s+be)(?!\w))?\W{0,4}?(?i:(?:option|choice)\W{1,3}?)?"
)
_THEN = r"\s*\.?(?:[\s,:;]|\.(?!\d)|[-–—](?!\s?\d))*"
_THAT_IS = rf"i\.?\s?e\b{_THEN}"

_OPENING = re.compile(
    rf"[\W_]*(?:(?i:so|hence|thus|therefore)[\s,]+)?(?i:the\s+)?{_NAMING}{_LETTER}{_THEN}(?:{_THAT_IS})*"
)
_RUN_TOGETHER = re.compile(rf"[\W_]*{_NAMING}(?P<letter>[A-E])(?=[A-Z])")
_BARE_OPENING = re.compile(rf"{_LETTER}{_THEN}(?P<that_is>{_THAT_IS})*")
_SEVERAL = re.compile(
    rf"{_CLOSED}\s*(?:,|&|/|>|\+|(?i:and|or)\b)\s*{_QUOTES}[A-Ea-e](?![\w-])"
    rf"|.{{0,120}}?(?:[,;&]|\band)\s*{_QUOTES}[A-Ea-e]{_CLOSED}\s*i\.?\s?e\b"
)
_ANSWER = re.compile(r"ans(?:wer)?(?![a-z])")
_OPTION = re.compile(r"(?:option|choice)s?\W{0,5}(?:is\W{1,4})?[a-e](?!\w)")
_INSIDE = re.compile(rf"(?<!\w)(?P<before>{_NAMING}){_LETTER}(?P<that_is>[\s,]*{_THAT_IS})?")
_IS_THE_ANSWER = re.compile(
    rf"(?<!\w)(?i:option|choice|so|hence|thus|therefore)[\s,]*{_LETTER}\s*is\s+(?:the\s+)?{_RIGHT}{_ANY}(?i:answer|choice)\b"
)
_REFERENCE = re.compile(
    rf"(?<!\w)(?i:options?|choices?)[\s:\-–]*(?:{_QUOTES}[A-Eb-e](?!\w)|{_QUOTES}a(?=\s*(?:[^\sa-zA-Z]|(?:is|are|and|or)\b)))"
)

_SAME_OPENING = 12


def told_explanation(explanation: str, options: Sequence[str], gold: int, *, letters_shown: bool) -> str:
    """Make what an explanation says about the answer's letter true, or leave it out.

    Args:
        explanation: The publisher's explanation.
        options: The options, in the order that the publisher's letters follow.
        gold: The 0-based position of the right one.
        letters_shown: Whether the options were shown with letters, in this order.

    Returns:
        The explanation to show; empty where none can be shown.
    """
    rest = explanation
    while naming := _opening(rest, options, gold):
        several = naming.re is _RUN_TOGETHER or _SEVERAL.match(rest, naming.end("letter"))
        if several or _position(naming) != gold:
            return ""
        rest = rest[naming.end() :]
    told = _named_inside(rest, options, gold, letters_shown=letters_shown)
    is_opened = len(rest) < len(explanation)
    return _with_letter(told, gold) if told and is_opened and letters_shown else told


def _opening(explanation: str, options: Sequence[str], gold: int) -> re.Match[str] | None:
    """Find a beginning that names the answer by its letter."""
    naming = _OPENING.match(explanation) or _RUN_TOGETHER.match(explanation)
    if naming is None:
        naming = _BARE_OPENING.match(explanation)
        if naming is None or not (naming["that_is"] or _says_letter_and_text(naming, options[gold], gold)):
            return None
    return None if _names_text(naming, options) else naming


def _names_text(naming: re.Match[str], options: Sequence[str]) -> bool:
    """Say whether an option's text begins where a letter seems to be: "C-peptide" is not C."""
    start = naming.start("letter")
    return any(
        len(option) > 1 and naming.string[start : start + len(option)].casefold() == option.casefold()
        for option in options
    )


def _says_letter_and_text(naming: re.Match[str], right: str, gold: int) -> bool:
    """Tell "B. Vitamin C is ..." from "A patient ..." and from a list of its own."""
    following = naming.string[naming.end() : naming.end() + _SAME_OPENING].casefold()
    return _position(naming) == gold and bool(following) and right.casefold().startswith(following[: len(right)])


def _named_inside(text: str, options: Sequence[str], gold: int, *, letters_shown: bool) -> str:
    if not _may_name(text.lower()):
        return text
    named = [*_INSIDE.finditer(text), *_IS_THE_ANSWER.finditer(text)]
    if any(_position(naming) != gold and not _names_text(naming, options) for naming in named):
        return ""
    text = _INSIDE.sub(lambda naming: _told(naming, options, letters_shown=letters_shown), text)
    refers = not letters_shown and (_IS_THE_ANSWER.search(text) or _REFERENCE.search(text))
    return "" if refers else text


def _may_name(lowered: str) -> bool:
    """Look for what the slower patterns need, in most texts in vain."""
    if _ANSWER.search(lowered):
        return True
    return ("option" in lowered or "choice" in lowered) and _OPTION.search(lowered) is not None


def _told(naming: re.Match[str], options: Sequence[str], *, letters_shown: bool) -> str:
    if _names_text(naming, options):
        return naming[0]
    if letters_shown:
        shown = naming.start("letter") - naming.start()
        return naming[0][:shown] + naming["letter"].upper() + naming[0][shown + 1 :]
    return naming["before"] + ("" if naming["that_is"] else options[_position(naming)])


def _with_letter(rest: str, gold: int) -> str:
    return f"The answer is {ascii_uppercase[gold]}{' ' if rest.startswith('(') else '. '}{rest}"


def _position(naming: re.Match[str]) -> int:
    return ascii_uppercase.index(naming["letter"].upper())
