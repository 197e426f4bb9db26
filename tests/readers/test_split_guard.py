import pytest

from med42lib.core.errors import DataError
from med42lib.readers.parsers import Record
from med42lib.readers.split_guard import guard_split, refuse_scored_split


@pytest.mark.parametrize(
    "name",
    [
        "medqa/phrases_no_exclude_test.jsonl",
        "a/test/0000.parquet",
        "a/test-00000-of-00001.parquet",
        "test_HEAD_EN.json",
    ],
)
def test_a_held_out_split_is_refused_by_its_name_or_its_folders(name: str) -> None:
    with pytest.raises(DataError, match=f"{name} is the test split, which benchmarks score"):
        refuse_scored_split(name, ("test",))


@pytest.mark.parametrize("name", ["a/train.json", "test/a/train.json", "latest/contest.json", "a/dev.json"])
def test_other_files_pass(name: str) -> None:
    refuse_scored_split(name, ("test",))


def test_dev_is_the_validation_split() -> None:
    with pytest.raises(DataError, match="is the validation split"):
        refuse_scored_split("medmcqa/dev.json", ("validation",))


def test_rows_pass_until_the_first_of_a_held_out_file() -> None:
    rows = guard_split(iter([Record("train.json", 1, "a"), Record("test.json", 1, "b")]), ("test",))
    assert next(rows) == Record("train.json", 1, "a")
    with pytest.raises(DataError, match=r"test\.json is the test split"):
        next(rows)
