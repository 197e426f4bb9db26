from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from med42lib.core.errors import DataError
from med42lib.formats.dataset import EXAMPLES_FILE, read_examples, write_examples
from med42lib.formats.records import Example, Exchange, Origin
from med42lib.inspection.find import ExampleFinder, parquet_row


def example(number: int, source: str = "cards") -> Example:
    exchanges = (Exchange(f"Ask {number}?", f"Answer {number}."),)
    return Example(source, "CC0-1.0", "", exchanges, f"Ask {number}?", Origin(str(number), "cards.jsonl", number))


@pytest.fixture
def finder(tmp_path: Path) -> Callable[..., ExampleFinder]:
    """Write examples, and look into them."""

    def find(*examples: Example) -> ExampleFinder:
        write_examples(tmp_path, examples)
        return ExampleFinder(tmp_path)

    return find


def test_an_id_is_found_whole_by_its_beginning_by_its_end_and_without_its_source(
    finder: Callable[..., ExampleFinder],
) -> None:
    examples = [example(number) for number in range(50)]
    found = finder(*examples)
    wanted = examples[20].id
    for part in (wanted, wanted[:12], wanted[-8:], wanted.removeprefix("cards/")[:8]):
        assert found.rows(part) == {wanted: [21]}
    assert found.rows("nothing") == {}
    assert len(found.rows("cards/")) == len(found) == 50


def test_a_whole_id_is_found_even_if_it_begins_another(tmp_path: Path) -> None:
    write_examples(tmp_path, [example(1), example(2)])
    table = pq.read_table(tmp_path / EXAMPLES_FILE)
    pq.write_table(table.set_column(0, "id", pa.array(["cards/ab", "cards/abc"])), tmp_path / EXAMPLES_FILE)
    assert ExampleFinder(tmp_path).rows("cards/ab") == {"cards/ab": [1]}
    assert set(ExampleFinder(tmp_path).rows("cards/a")) == {"cards/ab", "cards/abc"}


def test_a_repeated_example_has_several_rows(finder: Callable[..., ExampleFinder]) -> None:
    once, twice = example(1), example(2)
    assert finder(twice, once, twice).rows(twice.id) == {twice.id: [1, 3]}


def test_the_id_with_one_wrong_letter_is_the_most_similar(finder: Callable[..., ExampleFinder]) -> None:
    examples = [example(number) for number in range(200)]
    found, wanted = finder(*examples), examples[77].id
    for position in (0, 7, 12, len(wanted) - 1):
        wrong = wanted[:position] + "?" + wanted[position + 1 :]
        assert found.similar(wrong, 3)[0] == wanted
    assert len(set(found.similar("nothing like it", 5))) == 5


def test_rows_are_grouped_by_source(finder: Callable[..., ExampleFinder]) -> None:
    found = finder(example(1), example(2, "exam"), example(3))
    assert found.rows_by_source() == {"cards": [1, 3], "exam": [2]}
    assert found.id_at(2) == example(2, "exam").id


@pytest.mark.parametrize("row", [1, 4, 5, 10])
def test_one_row_is_read_from_whichever_row_group(tmp_path: Path, row: int) -> None:
    examples = [replace(example(number), system=f"s{number}") for number in range(1, 11)]
    write_examples(tmp_path, examples)
    pq.write_table(pq.read_table(tmp_path / EXAMPLES_FILE), tmp_path / EXAMPLES_FILE, row_group_size=4)
    assert ExampleFinder(tmp_path).example(row) == list(read_examples(tmp_path))[row - 1] == examples[row - 1]
    with pq.ParquetFile(tmp_path / EXAMPLES_FILE) as file:
        assert parquet_row(file, 11) is None


def test_a_row_behind_the_last_is_refused(finder: Callable[..., ExampleFinder]) -> None:
    with pytest.raises(IndexError, match="row 2 of 1"):
        finder(example(1)).example(2)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / EXAMPLES_FILE).write_bytes(b"PAR1 cut")
    with pytest.raises(DataError, match=r"examples\.parquet cannot be read"):
        ExampleFinder(tmp_path).rows("x")
