from pathlib import Path

import pytest

from med42lib.core import dataset
from med42lib.core.dataset import count_examples, read_examples, write_examples
from med42lib.core.records import Example, Exchange, Origin


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


def test_an_empty_dataset_is_a_file_of_no_rows(tmp_path: Path) -> None:
    assert write_examples(tmp_path, []) == 0
    assert list(read_examples(tmp_path)) == []


def test_the_same_examples_make_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    write_examples(tmp_path / "a", examples(3))
    write_examples(tmp_path / "b", examples(3))
    assert (tmp_path / "a/examples.parquet").read_bytes() == (tmp_path / "b/examples.parquet").read_bytes()
