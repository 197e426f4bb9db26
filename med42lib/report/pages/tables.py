"""A table as data, so that the page and the Markdown show the same cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from med42lib.formats.written import percent, points
from med42lib.report.estimates import Estimate
from med42lib.report.formatting import interval_limits


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading; neighbours with the same `group` share a heading above theirs."""

    title: str
    group: str = ""
    numeric: bool = True


@dataclass(frozen=True, slots=True)
class Cell:
    """What a cell says: the value, its interval or unit in small type, and whether it stands out."""

    text: str
    small: str = ""
    strong: bool = False


@dataclass(frozen=True, slots=True)
class TableRow:
    """Cells of one line, the first of them its heading; a `summary` line is set off from those above."""

    cells: tuple[Cell, ...]
    summary: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its caption and a note below it."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    note: str = ""

    @property
    def column_groups(self) -> list[tuple[str, int]]:
        """List headings above the columns' own, with how many columns each spans; empty if there are none."""
        groups = [(name, len(list(columns))) for name, columns in groupby(self.columns, key=lambda c: c.group)]
        return groups if any(name for name, _ in groups) else []

    @property
    def flat_titles(self) -> list[str]:
        """Name each column with its group, for formats with one heading line."""
        return [f"{c.group}: {c.title}" if c.group else c.title for c in self.columns]


def plain_row(*texts: str, summary: bool = False) -> TableRow:
    """Make a row of cells that hold text alone."""
    return TableRow(tuple(Cell(text) for text in texts), summary)


def percent_cell(estimate: Estimate | None) -> Cell:
    """Make a cell of a share in percent, with its interval."""
    return Cell(percent(estimate.value if estimate else None), interval_limits(estimate))


def points_cell(estimate: Estimate | None, *, strong: bool = False) -> Cell:
    """Make a cell of a difference in percentage points, with its interval."""
    return Cell(points(estimate.value if estimate else None), interval_limits(estimate, signed=True), strong=strong)


def text_columns(*titles: str) -> tuple[Column, ...]:
    """Make columns that are set flush left."""
    return tuple(Column(title, numeric=False) for title in titles)


def number_columns(titles: Sequence[str], *, group: str = "") -> tuple[Column, ...]:
    """Make columns of numbers under a common heading."""
    return tuple(Column(title, group) for title in titles)
