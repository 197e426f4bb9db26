import weakref
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from med42lib.formats import dataset
from med42lib.formats.dataset import (
    SCHEMA,
    count_examples,
    example_of,
    read_columns,
    read_examples,
    row_of,
    write_examples,
    write_tables,
)
from med42lib.formats.records import Example, Exchange, Origin


def examples(count: int) -> list[Example]:
    return [
        Example(
            "s", "CC0", "", (Exchange(f"q{n}", "a"), Exchange("and?", f"b{n}")), f"q{n}", Origin(str(n), "f.csv", n + 1)
        )
        for n in range(count)
    ]


def test_examples_come_back_in_order_with_all_their_turns(tmp_path: Path) -> None:
    assert write_examples(tmp_path, examples(5)) == 5
    assert list(read_examples(tmp_path)) == examples(5)


def test_more_than_one_row_group_is_written_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "ROWS_PER_GROUP", 4)
    write_examples(tmp_path, iter(examples(10)))
    assert count_examples(tmp_path) == 10
    assert [e.question for e in read_examples(tmp_path)] == [f"q{n}" for n in range(10)]


def test_a_row_is_read_back_as_the_example_it_was_made_of() -> None:
    (example,) = examples(1)
    assert example_of(row_of(example)) == example


def test_some_columns_are_read_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "ROWS_PER_GROUP", 4)
    write_examples(tmp_path, examples(10))
    tables = list(read_columns(tmp_path, ["id", "question"]))
    assert [table.num_rows for table in tables] == [4, 4, 2]
    rows = [{"id": e.id, "question": e.question} for e in examples(10)]
    assert [row for table in tables for row in table.to_pylist()] == rows


def test_an_empty_dataset_is_a_file_of_no_rows(tmp_path: Path) -> None:
    assert write_examples(tmp_path, []) == 0
    assert list(read_examples(tmp_path)) == []


def test_the_same_examples_make_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    write_examples(tmp_path / "a", examples(3))
    write_examples(tmp_path / "b", examples(3))
    assert (tmp_path / "a/examples.parquet").read_bytes() == (tmp_path / "b/examples.parquet").read_bytes()


def test_tables_are_written_in_the_order_given_each_as_its_own_row_group(tmp_path: Path) -> None:
    rows = [row_of(example) for example in examples(10)]
    assert write_tables(tmp_path, (pa.Table.from_pylist(rows[n : n + 2], SCHEMA) for n in range(0, 10, 2))) == 10
    assert list(read_examples(tmp_path)) == examples(10)
    assert pq.read_metadata(tmp_path / "examples.parquet").num_row_groups == 5


def test_no_more_than_two_tables_are_held_one_made_and_one_being_written(tmp_path: Path) -> None:
    held: list[int] = []
    made: list[weakref.ref[pa.Table]] = []

    def tables() -> Iterator[pa.Table]:
        for example in examples(20):
            held.append(sum(one() is not None for one in made))
            table = pa.Table.from_pylist([row_of(example)], SCHEMA)
            made.append(weakref.ref(table))
            yield table

    write_tables(tmp_path, tables())
    assert max(held) <= 2


def test_an_error_while_a_table_is_made_reaches_the_caller(tmp_path: Path) -> None:
    def tables() -> Iterator[pa.Table]:
        yield pa.Table.from_pylist([row_of(examples(1)[0])], SCHEMA)
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        write_tables(tmp_path, tables())


def test_a_table_that_cannot_be_written_is_an_error_even_if_it_is_the_last(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="schema"):
        write_tables(tmp_path, [pa.table({"another": [1]})])
