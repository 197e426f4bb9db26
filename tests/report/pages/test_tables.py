from med42lib.report.pages.tables import Column, Table, number_columns, plain_row, text_columns


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
