"""A few rows of each source, for someone who does not know an id yet."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from med42lib.core.printable import one_line
from med42lib.inspection.runs import Dataset
from med42lib.inspection.style import Style

NUM_SHOWN_ROWS = 3


@dataclass(frozen=True, slots=True)
class SourceRows:
    """A source's number of rows, and some of them: id and question."""

    source: str
    num_rows: int
    rows: list[tuple[str, str]]


def some_rows(dataset: Dataset, *, at_random: bool) -> list[SourceRows]:
    """Choose rows of each source: the first, or others each time."""
    chosen = []
    for source, rows in sorted(dataset.finder.rows_by_source().items()):
        count = min(NUM_SHOWN_ROWS, len(rows))
        some = random.sample(rows, count) if at_random else rows[:count]
        shown = [(dataset.finder.id_at(row), dataset.finder.example(row).question) for row in some]
        chosen.append(SourceRows(source, len(rows), shown))
    return chosen


def listing_lines(listed: list[SourceRows], address: str, style: Style, width: int) -> Iterator[str]:
    """Write the rows out, one line each."""
    yield f"{sum(source.num_rows for source in listed):,} training rows in {one_line(address)}"
    for source in listed:
        yield ""
        yield f"{style.heading(one_line(source.source))} {style.dim(f'{source.num_rows:,} rows')}"
        for id, question in source.rows:
            id = one_line(id)
            room = max(20, width - len(id) - 4)
            shown = one_line(" ".join(question.split()))
            yield f"  {id}  {style.dim(shown if len(shown) <= room else shown[: room - 1] + '…')}"
    yield ""
    yield "med42 inspect dataset --id ID shows one row's history"
