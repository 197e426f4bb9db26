"""Marking the words that two texts share, so that the eye finds what makes them alike."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PIECES = re.compile(r"\w+|\W+")
_SHORTEST_WORD = 4


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of text; `shared` says that its words occur in the other text too."""

    text: str
    shared: bool


def shared_segments(text: str, other: str) -> tuple[Segment, ...]:
    """Cut a text where shared words begin and end; the segments together are the text.

    Case does not count. Words of fewer than four characters are not marked unless they are numbers.
    """
    known = {word.casefold() for word in re.findall(r"\w+", other)}
    segments: list[Segment] = []
    for piece in _PIECES.findall(text):
        shared = piece.casefold() in known and (len(piece) >= _SHORTEST_WORD or piece.isdigit())
        if segments and segments[-1].shared == shared:
            piece = segments.pop().text + piece
        segments.append(Segment(piece, shared))
    return tuple(segments)
