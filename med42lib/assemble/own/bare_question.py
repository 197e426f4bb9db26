"""What of a prompt is the question: decontamination compares it, and a frame around it would hide it.

    instruction                                    input               the question
    "Choose the right option." in many rows        "Which vitamin …?"  the input
    "Which vitamin …?"                             "Be brief." in many the instruction
    "What is this drug used for?" in many rows     "Metformin"         both: the input alone asks nothing
    "Summarise this letter."                       "Dear colleague, …" both, as neither stands in more rows

Lettered options on lines of their own are left out with all that follows them; the list alone, if nothing is asked
before it; and nothing if a question follows that a case is told for ("On assessment: A: airway patent, … What next?").
"""

from __future__ import annotations

import re
from collections import Counter

_OPTION = r"[ \t]*\(?[{}][).:][ \t]*\S.*"
_OPTIONS = re.compile(
    rf"^{_OPTION.format('Aa')}\n+{_OPTION.format('Bb')}(?:\n+{_OPTION.format('C-Zc-z')})*", re.MULTILINE
)
_QUESTION_MARK = re.compile(r"[?？؟]")
_ASKS = re.compile(rf"{_QUESTION_MARK.pattern}|(?:\S+\s+){{2}}\S")
"""A sign of a question, or three words: less may be the name of a thing that the other text asks about."""


def without_options(prompter: str) -> str:
    """Leave out a list of options that is no part of what is asked; all of it stays if nothing else asks."""
    lists = list(_OPTIONS.finditer(prompter))
    if not lists:
        return prompter
    before, after = prompter[: lists[-1].start()].strip(), prompter[lists[-1].end() :].strip()
    if _ASKS.search(before):
        asks_behind_alone = _QUESTION_MARK.search(after) and not _QUESTION_MARK.search(before)
        return prompter if asks_behind_alone else before
    rest = f"{before}\n{after}".strip()
    return rest if _ASKS.search(rest) else before or prompter


class Frames:
    """Tells a question from a frame that stands around many others; all rows are counted first."""

    def __init__(self) -> None:
        self._rows: Counter[int] = Counter()

    def count(self, instruction: str, material: str) -> None:
        """Count a row's two texts, of which only hashes are kept."""
        self._rows.update((hash((0, instruction)), hash((1, material))))

    def question(self, instruction: str, material: str) -> str:
        """Give the text that stands in fewer rows, if it asks something, or else both."""
        more = self._rows[hash((0, instruction))] - self._rows[hash((1, material))]
        rarer = material if more > 0 else instruction if more < 0 else ""
        return rarer if _ASKS.search(rarer) else "\n".join((instruction, material))
