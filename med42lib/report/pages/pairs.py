"""The page of all pairs: both texts side by side, with filters, in one file that loads nothing.

Only the pairs of one page are put into the document, by a script that the page's policy allows by its hash, so that
10,000 pairs stay fluid and no text can run as another script.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from markupsafe import Markup

from med42lib.core.printable import printable, shortened
from med42lib.formats.contamination import Detector, Label, Pair
from med42lib.formats.written import display_name
from med42lib.report.pages.render import TEMPLATES, render_page
from med42lib.report.results.contamination import Browsed

Key = TypeVar("Key", bound=Hashable)

FOUND = ("the cosine alone", "both", "words alone")
MOST_CHARACTERS = 8_000
"""Of each text; what is longer is cut, and its end says so."""


@dataclass(frozen=True, slots=True)
class PairsView:
    """What the template shows. `data` is JSON that a `script` element may hold."""

    title: str
    num_shown: int
    num_found: int
    benchmarks: Sequence[str]
    sources: Sequence[str]
    data: Markup
    script: Markup
    labels: tuple[Label, ...] = tuple(Label)
    found: tuple[str, ...] = FOUND

    @property
    def label_headings(self) -> list[str]:
        """Name the labels."""
        return [label.heading for label in self.labels]

    @property
    def script_hash(self) -> str:
        """Give what the page's policy knows the script by."""
        return f"sha256-{base64.b64encode(hashlib.sha256(self.script.encode()).digest()).decode()}"


def render_pairs(title: str, browsed: Browsed, *, source_title: Callable[[str], str]) -> str:
    """Write the page.

    Args:
        title: Heading of the report.
        browsed: The pairs.
        source_title: Gives the name of a training source.
    """
    data = _data(browsed, source_title)
    view = PairsView(
        title,
        num_shown=len(browsed.pairs),
        num_found=browsed.num_found,
        benchmarks=data["benchmarks"],
        sources=data["sources"],
        data=_in_script(data),
        script=Markup((TEMPLATES / "pairs.js").read_text(encoding="utf-8")),
    )
    return render_page("pairs.html.j2", view)


def _data(browsed: Browsed, source_title: Callable[[str], str]) -> dict[str, Any]:
    """Give what the script reads: pairs as rows of numbers, items and examples once each."""
    benchmarks: dict[str, int] = {}
    sources: dict[str, int] = {}
    items: dict[Hashable, int] = {}
    examples: dict[Hashable, int] = {}
    rows = []
    for pair, flagged in sorted(browsed.pairs, key=lambda row: (-row[0].cosine, row[0].item_id, row[0].example_id)):
        benchmark, source = _number(benchmarks, pair.benchmark), _number(sources, pair.source)
        item = _number(items, (pair.item_id, benchmark, _shown(pair.item_request), _shown(pair.item_answer)))
        said = _shown(pair.example_request), _shown(pair.example_answer)
        example = _number(examples, (pair.example_id, source, *said))
        label = list(Label).index(Label(pair.label))
        rows.append((item, example, pair.cosine, pair.overlap, label, _found(pair), int(flagged)))
    return {
        "benchmarks": [printable(display_name(name)) for name in benchmarks],
        "sources": [printable(source_title(name)) for name in sources],
        "labels": [label.heading for label in Label],
        "found": [f"found by {name}" for name in FOUND],
        "items": list(items),
        "examples": list(examples),
        "pairs": rows,
    }


def _number(numbers: dict[Key, int], key: Key) -> int:
    """Number what is met for the first time."""
    return numbers.setdefault(key, len(numbers))


def _shown(text: str) -> str:
    return shortened(printable(text), MOST_CHARACTERS)


def _found(pair: Pair) -> int:
    """Give the place in `FOUND`."""
    if Detector.COSINE not in pair.detectors:
        return 2
    return int(len(pair.detectors) > 1)


def _in_script(value: object) -> Markup:
    """Write JSON in which nothing can end the element or begin a comment."""
    return Markup(json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))
