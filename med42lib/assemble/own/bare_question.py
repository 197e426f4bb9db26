"""What of a prompt is the question: decontamination compares it, and a frame around it would hide it.

    instruction                                    input               the question
    "Choose the right option." in many rows        "Which vitamin …?"  the input
    "Which vitamin …?"                             "Be brief." in many the instruction
    "What is this drug used for?" in many rows     "Metformin"         both: the input alone asks nothing
    "Summarise this letter."                       "Dear colleague, …" both, as neither stands in more rows

Lettered options on lines of their own are left out, with all that follows them.
"""

from __future__ import annotations

import re
from collections import Counter

_OPTIONS = re.compile(r"^[ \t]*\(?[Aa][).:][ \t]*\S.*\n+[ \t]*\(?[Bb][).:][ \t]*\S", re.MULTILINE)
_ASKS = re.compile(r"[?？؟]|(?:\S+\s+){2}\S")
"""A sign of a question, or three words: less may be the name of a thing that the other text asks about."""


def without_options(prompter: str) -> str:
    """Give what stands before a lettered list of options; all of it if nothing does."""
    options = _OPTIONS.search(prompter)
    return (prompter[: options.start()].strip() if options else "") or prompter


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
