"""What of a prompt is the question: decontamination compares it, and a frame around it would hide it.

    instruction                                    input               the question
    "Choose the right option." in many rows        "Which vitamin …?"  the input
    "Which vitamin …?"                             "Be brief." in many the instruction
    "What is this drug used for?" in many rows     "Metformin"         both: the input alone asks nothing
    "Does aspirin prevent strokes?" in many        "Of 90 men, …"      both: the instruction alone has a question mark
    "Summarise this letter."                       "Dear colleague, …" both, as neither stands in many more rows

Lettered options on lines of their own are left out with all that follows them; the list alone, if nothing is asked
before it; and nothing if a question follows that a case is told for ("On assessment: A: airway patent, … What next?"),
unless it asks for no more than an option ("Scurvy is a lack of: A. Iron, … Which option is correct?").
"""

from __future__ import annotations

import re
from collections import Counter

_OPTION = r"[ \t]*\(?[{}][).:][ \t]*\S.*"
_OPTIONS = re.compile(
    rf"^{_OPTION.format('Aa')}\n+{_OPTION.format('Bb')}(?:\n+{_OPTION.format('C-Zc-z')})*", re.MULTILINE
)
_QUESTION_MARK = re.compile(r"[?？؟]")
_ASKS = re.compile(rf"{_QUESTION_MARK.pattern}|\S\s+\S+\s+\S")
"""A sign of a question, or three words: less may be the name of a thing that the other text asks about.

It begins at the end of the first word: from each of its letters it would read a text without spaces to the end.
"""

_HARDLY_SAYS = r"(?:\s+(?:of|the|these|following|above|one|is|are|most|best|likely|appropriate|correct|right))*"
_NAMES_IT = r"(?:(?:option|choice|answer|letter|statement)s?\b|(?:correct|right|true)(?:\s+one)?\s*\?)"
_FOR_AN_OPTION = re.compile(rf"\b(?:which|what){_HARDLY_SAYS}\s+{_NAMES_IT}|答案|选项", re.IGNORECASE)

_TIMES_AS_MANY = 10
"""A question may stand in several rows itself, with a passage from elsewhere in each."""


def without_options(prompter: str) -> str:
    """Leave out a list of options that is no part of what is asked; all of it stays if nothing else asks."""
    lists = list(_OPTIONS.finditer(prompter))
    if not lists:
        return prompter
    before, after = prompter[: lists[-1].start()].strip(), prompter[lists[-1].end() :].strip()
    if _ASKS.search(before):
        asks_behind_alone = _asks_a_question(after) and not _QUESTION_MARK.search(before)
        return prompter if asks_behind_alone else before
    rest = f"{before}\n{after}".strip()
    return rest if _ASKS.search(rest) else before or prompter


def _asks_a_question(text: str) -> bool:
    """Say whether a text has a question mark, and for more than the option that is right."""
    return bool(_QUESTION_MARK.search(text)) and not _FOR_AN_OPTION.search(text)


class Frames:
    """Tells a question from a frame that stands around many others; all rows are counted first."""

    def __init__(self) -> None:
        self._rows: Counter[int] = Counter()

    def count(self, instruction: str, material: str) -> None:
        """Count a row's two texts, of which only hashes are kept."""
        self._rows.update((hash((0, instruction)), hash((1, material))))

    def question(self, instruction: str, material: str) -> str:
        """Give one text where the other is a frame, which stands in many times more rows, or else both."""
        (few, rarer), (many, frame) = sorted(
            ((self._rows[hash((0, instruction))], instruction), (self._rows[hash((1, material))], material))
        )
        asks = _ASKS.search(rarer) and (_QUESTION_MARK.search(rarer) or not _asks_a_question(frame))
        return rarer if asks and many >= _TIMES_AS_MANY * few else f"{instruction}\n{material}"
