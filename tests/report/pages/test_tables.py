from med42lib.report.estimates import Estimate
from med42lib.report.pages.tables import (
    Cell,
    Column,
    Table,
    number_columns,
    percent_cell,
    plain_row,
    points_cell,
    text_columns,
)


def test_neighbouring_columns_share_the_heading_of_their_group() -> None:
    columns = (
        *text_columns("Name"),
        *number_columns(["n", "p"], group="First"),
        *number_columns(["n"], group="Second"),
    )
    table = Table("A table", columns, (plain_row("a", "1", "2", "3"),))
    assert table.column_groups == [("", 1), ("First", 2), ("Second", 1)]
    assert table.flat_titles == ["Name", "First: n", "First: p", "Second: n"]


def test_a_table_without_groups_has_no_second_heading() -> None:
    assert Table("A table", (Column("a"), Column("b")), ()).column_groups == []


def test_an_interval_stands_small_beside_its_number_and_nothing_beside_one_that_is_not_known() -> None:
    assert percent_cell(Estimate(0.5, 0.4, 0.6)) == Cell("50.0", "[40.0, 60.0]")
    assert points_cell(Estimate(0.02, -0.01, 0.05), strong=True) == Cell("+2.0", "[−1.0, +5.0]", strong=True)
    assert percent_cell(None) == points_cell(None) == Cell("–")
