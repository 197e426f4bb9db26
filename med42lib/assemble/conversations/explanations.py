r"""Explanations as they can be shown: without HTML, and with no letter that the question does not show.

Publishers' explanations often open with the letter, in dozens of spellings. What is made of it:

    publisher's explanation           letters shown                 answered by text
    "Ans. is 'b' i.e., Vitamin C"     "The answer is B. Vitamin C"  "Vitamin C"
    "... So answer is b"              "... So answer is B"          "... So answer is Vitamin C"
    "Answer- C"                       dropped: it says no more      dropped
    "Ans: A. Niacin", B is right      dropped: it contradicts       dropped
    "Option A: too much iron. ..."    kept                          dropped: no options are shown
    "So a, b and d are ruled out."    kept                          dropped, and so is "Option 1: ..."
    "Vitamin B is ..."                kept                          kept

A letter that only stands in a list of the explanation's own ("(a) fever, (b) rash") is left alone: nothing tells it
from an option's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import unescape
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
# The letter must stand by itself: in "Sol. C. difficile" it does not.
_SOLUTION = re.compile(
    rf"[\W_]*(?i:sol(?:ution|n)?|key|correct|right)\W{{1,4}}{_LETTER}"
    rf"(?:(?<=[)\]\"'’”])|(?=\s*(?:[,:;)\n]|\.(?!\s?[a-z])|[-–—]\s|i\.?\s?e\b|$))){_THEN}(?:{_THAT_IS})*"
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

_VERDICT = r"(?i:(?:ruled\s+out|excluded|(?:in)?correct|right|wrong|true|false)\b)"
_OF_OPTIONS_UNSEEN = re.compile(
    # "Option 1: ..."
    r"(?<!\w)(?i:options?\s+(?:no\.?\s*)?)\(?[1-5]\)?(?=\s*(?:[:,\-–]|\.(?!\d)|\)|(?:is|are|and|or)\b))"
    # "a, b and d are ruled out"
    rf"|(?<![\w'’.\-])[A-Ea-e](?:\s*(?:,|&|,?\s*and|,?\s*or)\s*[A-Ea-e]){{1,4}}\s+(?i:(?:is|are|were)\s+)?(?:not\s+)?{_VERDICT}"
    # "(c) is correct", and at the beginning of a sentence without brackets
    rf"|(?:(?:^|[.;:\n]\s*)[A-Ea-e]|[(\[\"'‘“][A-Ea-e][)\]\"'’”])\s+(?:is|was)\s+(?:the\s+)?(?:not\s+)?{_VERDICT}"
    # "Hence c."
    rf"|(?<!\w)(?i:so|hence|thus|therefore)[\s,:]+{_QUOTES}[A-Ea-e]{_CLOSED}[\s.]*$"
)
_NAMES_STATEMENTS = re.compile(r"(?<!\w)[A-Ea-e]\s*(?:,|&|\band\b)\s*[A-Ea-e](?!\w)|^[a-e]{1,5}$")
"""An option such as "a, b are true", whose letters are those of statements in the question."""

_SAME_OPENING = 12

_TAGS = r"a|b|br|center|div|em|font|h[1-6]|i|img|li|ol|p|span|strong|sub|sup|table|tbody|td|th|tr|u|ul"
_ATTRIBUTE = r"\s+[\w-]+\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s\"'<>]+)"
_MARKUP = re.compile(
    rf"<(?P<end>/?)(?P<tag>{_TAGS})(?:{_ATTRIBUTE}){{0,8}}\s*/?>"
    r"|<(?:a|img|font|span)\s+[\w-]+\s*=\s*[\"']?\s?"  # cut in an attribute: what follows is text
    r"|\bhref\s*=\s*\"[^\"<>]*\"\s*>",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&(?:amp|lt|gt|nbsp|quot|apos|#\d{1,5});")
_ON_A_LINE = frozenset({"br", "div", "li", "ol", "p", "table", "tr", "ul", "h1", "h2", "h3", "h4", "h5", "h6"})
_NOTHING_CITED = re.compile(r"(?:\bref|Ref)(?:erence)?s?\b[\s.:\-–]*$")


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
    explanation = rest = without_markup(explanation)
    while naming := _opening(rest, options, gold):
        several = naming.re is _RUN_TOGETHER or _SEVERAL.match(rest, naming.end("letter"))
        if several or _position(naming) != gold:
            return ""
        rest = rest[naming.end() :]
    if not letters_shown and _speaks_of_unseen_options(rest, options):
        return ""
    told = _named_inside(rest, options, gold, letters_shown=letters_shown)
    is_opened = len(rest) < len(explanation)
    return _with_letter(told, gold) if told and is_opened and letters_shown else told


def without_markup(text: str) -> str:
    """Take HTML tags, whole or cut, out of a text that is not HTML: a "<" that begins no tag stays."""
    if "<" in text or "href" in text:
        plain = _MARKUP.sub(_in_place_of_tag, text)
        text = text if plain == text else _without_empty_reference(plain.strip())
    return _ENTITY.sub(lambda entity: unescape(entity[0]), text) if "&" in text else text


def _without_empty_reference(text: str) -> str:
    nothing = _NOTHING_CITED.search(text)
    return text[: nothing.start()].rstrip(" \t\n(") if nothing else text


def _in_place_of_tag(markup: re.Match[str]) -> str:
    tag = (markup["tag"] or "").lower()
    if tag == "sup" and not markup["end"]:
        return "^"
    return "\n" if tag in _ON_A_LINE else ""


def _speaks_of_unseen_options(text: str, options: Sequence[str]) -> bool:
    return not any(map(_NAMES_STATEMENTS.search, options)) and _OF_OPTIONS_UNSEEN.search(text) is not None


def _opening(explanation: str, options: Sequence[str], gold: int) -> re.Match[str] | None:
    """Find a beginning that names the answer by its letter."""
    naming = _OPENING.match(explanation) or _SOLUTION.match(explanation) or _RUN_TOGETHER.match(explanation)
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
