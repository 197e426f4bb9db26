from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from med42lib.core.errors import ConfigError, DataError
from med42lib.formats.dataset import EXAMPLES_FILE, read_examples, write_examples
from med42lib.formats.records import Example, Exchange, Origin
from med42lib.inspection.find import (
    NUM_SHOWN_ROWS,
    ExampleFinder,
    find_row,
    first_data_set,
    newest_outputs,
    open_outputs,
    parquet_row,
    some_rows,
)
from tests.inspection.conftest import DataRun


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


def made_at(address: str, moment: str) -> None:
    path = Path(address, "manifest.json")
    text = path.read_text()
    start = text.index('"created_at": "') + len('"created_at": "')
    path.write_text(text[:start] + moment + text[text.index('"', start) :])


def addresses(store: str, cache: Path) -> list[str]:
    return [source.address for source in newest_outputs(store, cache)]


def test_packed_outputs_come_first_and_of_those_the_newest(run: DataRun, tmp_path: Path) -> None:
    older = run.outputs["packed"]
    run.pack("chunk_length=256")
    newer = run.outputs["packed"]
    made_at(older, "2030-01-01T00:00:00+00:00")
    made_at(newer, "2031-01-01T00:00:00+00:00")
    upstream = [run.outputs["training"], run.outputs["dataset"]]
    assert addresses(run.store, tmp_path / "cache") == [newer, older, *upstream]
    made_at(older, "2032-01-01T00:00:00+00:00")
    assert addresses(run.store, tmp_path / "cache") == [older, newer, *upstream]


def test_an_output_without_its_manifest_is_not_finished(run: DataRun, tmp_path: Path) -> None:
    Path(run.outputs["packed"], "manifest.json").unlink()
    assert run.outputs["packed"] not in addresses(run.store, tmp_path / "cache")


def test_a_row_that_only_an_older_run_has_is_found_there(run: DataRun, tmp_path: Path) -> None:
    older, whole = run.outputs["packed"], run.examples()
    run.stage("assemble", "sources.medquad.target=1", data=str(run.data))
    run.stage("pack", dataset=run.outputs["dataset"], model=str(run.model))
    newer, left = run.outputs["packed"], {example.id for example in run.examples()}
    made_at(older, "2030-01-01T00:00:00+00:00")
    made_at(newer, "2031-01-01T00:00:00+00:00")
    roots = newest_outputs(run.store, tmp_path / "cache")
    gone = next(example.id for example in whole if example.id not in left)
    kept = next(example.id for example in whole if example.id in left)
    assert find_row(roots, kept, tmp_path / "cache").dataset.root.source.address == newer
    found = find_row(roots, gone, tmp_path / "cache")
    assert (found.id, found.dataset.root.source.address) == (gone, older)
    assert found.dataset.output.manifest.stage == "assemble"


def test_any_output_made_from_the_row_will_do(assembled: Callable[..., DataRun], tmp_path: Path) -> None:
    run = assembled()
    roots = open_outputs([run.outputs["dataset"]], tmp_path / "cache")
    wanted = run.example("medquad").id
    found = find_row(roots, wanted[:-3], tmp_path / "cache")
    assert (found.id, found.dataset.output_of("pack", "packed")) == (wanted, None)
    assert first_data_set(roots, tmp_path / "cache").output.source.address == run.outputs["dataset"]


def test_unknown_and_ambiguous_ids_are_answered_with_those_that_may_be_meant(run: DataRun, tmp_path: Path) -> None:
    roots, cache = newest_outputs(run.store, tmp_path / "cache"), tmp_path / "cache"
    wanted = run.example("medquad").id
    with pytest.raises(ConfigError) as unknown:
        find_row(roots, f"{wanted[:-1]}?", cache)
    assert f"the most similar: {wanted}" in str(unknown.value)
    with pytest.raises(ConfigError, match=r"--id: 16 ids begin or end with 'medquad/'; give more of it: medquad/.*, …"):
        find_row(roots, "medquad/", cache)


def test_nothing_to_look_into_is_an_error(run: DataRun, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no finished output of pack, decontaminate or assemble"):
        newest_outputs(str(tmp_path / "nowhere"), tmp_path / "cache")
    with pytest.raises(DataError, match="is not the output of a stage"):
        find_row(open_outputs([str(run.data)], tmp_path / "cache"), "x", tmp_path / "cache")
    Path(run.outputs["dataset"], "manifest.json").unlink()
    Path(run.outputs["training"], "manifest.json").unlink()
    with pytest.raises(DataError, match="the data sets it was made from are no longer there"):
        find_row(open_outputs([run.outputs["packed"]], tmp_path / "cache"), "x", tmp_path / "cache")


def test_each_source_shows_its_first_rows_or_others(assembled: Callable[..., DataRun], tmp_path: Path) -> None:
    run = assembled()
    dataset = first_data_set(open_outputs([run.outputs["dataset"]], tmp_path / "cache"), tmp_path / "cache")
    questions = {example.id: example.question for example in run.examples()}
    first = some_rows(dataset, at_random=False)
    assert {source.source: source.num_rows for source in first} == {
        "headqa": 16,
        "medical_flashcards": 96,
        "medquad": 16,
    }
    assert first == some_rows(dataset, at_random=False)
    others = [some_rows(dataset, at_random=True) for _ in range(5)]
    assert any(listed != first for listed in others)
    for source in [source for listed in (first, *others) for source in listed]:
        assert len({id for id, _ in source.rows}) == NUM_SHOWN_ROWS
        assert all(id.startswith(f"{source.source}/") and questions[id] == question for id, question in source.rows)
