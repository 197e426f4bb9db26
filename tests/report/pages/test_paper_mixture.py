from dataclasses import replace
from typing import Any

import pytest

from med42lib.report.pages.paper_mixture import paper_mixture_table
from med42lib.report.pages.tables import Table
from med42lib.report.provenance.record import Provenance, read_provenance
from tests.mixture_table_rows import demo_rows, paper_rows

SHORT = {"sampled": 179_000, "kept": 179_000, "short_by": 1462, "left_over": 0}


@pytest.fixture
def provenance(run: Any) -> Provenance:
    return read_provenance(run.singles(), run.of("trained"), run.of("scores"))


def table_of(provenance: Provenance, rows: list[dict[str, Any]]) -> Table:
    table = paper_mixture_table(replace(provenance, mixture=tuple(rows)))
    assert table is not None
    assert all(len(row.cells) == len(table.columns) for row in table.rows)
    return table


def cells(table: Table, title: str) -> list[str]:
    row = next(row for row in table.rows if row.cells[0].text == title)
    return [cell.text for cell in row.cells[1:]]


def test_the_papers_mixture_is_compared_line_by_line(provenance: Provenance) -> None:
    table = table_of(provenance, paper_rows(medmcqa=SHORT))
    assert [name for name, _ in table.column_groups] == ["", "Table A1", "This mixture", "Difference"]
    assert cells(table, "MedMCQA") == ["180,462", "25.54", "179,000", "25.38", "−1,462", "−0.15"]
    assert cells(table, "Total") == ["706,713", "100.00", "705,251", "100.00", "−1,462", "0.00"]
    assert [row.cells[0].text for row in table.rows if row.summary] == ["Medical domain", "General domain", "Total"]
    assert "41.92 %, +0.09 points from the 41.83 % of the paper's Table A1 (its text says 40 %)" in table.note
    assert "MedMCQA: the source has 179,000 usable rows, 1,462 fewer than its target." in table.note


def test_another_mixture_shows_the_papers_counts_last_and_compares_nothing(provenance: Provenance) -> None:
    table = table_of(provenance, demo_rows())
    assert [column.title for column in table.columns] == ["Source", "Examples", "%", "Paper's Table A1"]
    assert cells(table, "HeadQA (English)") == ["1,200", "41.38", "2,657"]
    assert cells(table, "Total") == ["2,900", "100.00", ""]
    assert table.note.startswith("This is not the paper's mixture")


def test_without_domains_or_the_papers_counts_there_is_no_table(provenance: Provenance) -> None:
    rows = demo_rows()
    del rows[1]["domain"]
    assert paper_mixture_table(replace(provenance, mixture=tuple(rows))) is None


def test_page_and_markdown_have_the_table(run: Any) -> None:
    folder = run.make_report()
    for name in ("report.html", "report.md"):
        assert "The mixture by source and domain" in (folder / name).read_text()
