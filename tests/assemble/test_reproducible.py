"""What must not change the mixture: machine, processes, sizes of blocks, order and number of files."""

import os
import subprocess
import sys
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from med42lib.assemble.conversations import columns as conversations
from med42lib.assemble.mixing.spill import RunWriter
from med42lib.assemble.reading import pool as readers
from med42lib.assemble.reading.pool import PROCESSES_VARIABLE
from med42lib.formats.dataset import read_examples
from med42lib.formats.records import Example
from tests.assemble.small_sources import ALL, mixture, outputs, run_stage, write_advice, write_cards
from tests.conftest import REPOSITORY

SENTENCES = [f"Sentence number {number} gives “advice” İıß." for number in range(60)]
CARDS = ["Fever", "fever ", "FEVER", "ﬁbrosis", "İstanbul", *(f"card {number}" for number in range(60))]
SAMPLED = {"medical_flashcards": {"target": 40, "repeat": 3}, "health_advice": {"target": 45}}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of both small sources."""
    folder = tmp_path_factory.mktemp("data")
    write_cards(folder, CARDS)
    write_advice(folder, {"a": SENTENCES[:25], "b": SENTENCES[20:]})
    return folder


@pytest.fixture(scope="module")
def expected(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the stage writes in this process, without others."""
    return outputs(run_stage(filled, tmp_path_factory.mktemp("first") / "out", SAMPLED))


def without_places(folder: Path) -> list[tuple[object, ...]]:
    return [(e.id, e.source, e.licence, e.system, e.exchanges, e.question) for e in read_examples(folder)]


IN_ANOTHER_PROCESS = """
import sys
from pathlib import Path
from tests.assemble.small_sources import run_stage
from tests.assemble.test_reproducible import SAMPLED
run_stage(Path(sys.argv[1]), Path("out").absolute(), SAMPLED)
"""


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1", PROCESSES_VARIABLE: "1"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONHASHSEED": "2", PROCESSES_VARIABLE: "2"},
        {"LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "3", "OMP_NUM_THREADS": "3", PROCESSES_VARIABLE: "3"},
    ],
    ids=["C", "ASCII", "Turkish"],
)
def test_working_folder_locale_hash_seed_and_processes_do_not_change_a_byte(
    filled: Path, expected: dict[str, bytes], tmp_path: Path, environment: dict[str, str]
) -> None:
    whole = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
    subprocess.run([sys.executable, "-c", IN_ANOTHER_PROCESS, str(filled)], cwd=tmp_path, env=whole, check=True)
    assert outputs(tmp_path / "out") == expected


def test_reading_in_processes_of_their_own_does_not_change_a_byte(
    filled: Path, expected: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PROCESSES_VARIABLE, raising=False)
    monkeypatch.setattr(readers, "BYTES_PER_PROCESS", 10)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(2), raising=False)
    assert outputs(run_stage(filled, tmp_path / "out", SAMPLED)) == expected


@pytest.mark.parametrize(("rows_per_batch", "size"), [(1, 1), (2, 300), (5, 2000), (1024, 1)])
def test_neither_the_size_of_batches_nor_of_runs_changes_a_byte(
    filled: Path,
    expected: dict[str, bytes],
    tmp_path: Path,
    rows_per_batch: int,
    size: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conversations, "ROWS_PER_BATCH", rows_per_batch)
    defaults = RunWriter.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "characters_per_run", size)
    assert outputs(run_stage(filled, tmp_path / "out", SAMPLED)) == expected


def test_the_order_of_sources_and_another_place_of_the_data_do_not_change_a_byte(
    filled: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere" / "däta"
    moved.parent.mkdir()
    moved.symlink_to(filled, target_is_directory=True)
    assert outputs(run_stage(moved, tmp_path / "out", dict(reversed(SAMPLED.items())))) == expected


@given(st.randoms(use_true_random=False), st.integers(1, 5))
@settings(max_examples=15)
def test_neither_order_nor_names_nor_number_of_files_change_the_rows(random: Random, num_files: int) -> None:
    sentences = random.sample(SENTENCES, len(SENTENCES))
    names = random.sample("abcdefgh", num_files)
    with TemporaryDirectory() as folder:
        one, other = Path(folder, "one"), Path(folder, "other")
        write_advice(one, {"a": SENTENCES})
        write_advice(other, {name: sentences[place::num_files] for place, name in enumerate(names)})
        sources = {"health_advice": {"target": 40}}
        first, second = (run_stage(data, data / "out", sources) for data in (one, other))
        assert without_places(first) == without_places(second)
        assert {(e.id, e.origin.publisher_id) for e in read_examples(first)} == {
            (e.id, e.origin.publisher_id) for e in read_examples(second)
        }
        counts = [{**mixture(out)["health_advice"], "files": None} for out in (first, second)]
        assert counts[0] == counts[1]


def test_every_row_says_where_it_stands_in_its_own_file(data: Path, tmp_path: Path) -> None:
    write_advice(data, {"a": SENTENCES[:30], "b": SENTENCES[30:]})
    for example in read_examples(run_stage(data, tmp_path / "out", {"health_advice": {"target": "all"}})):
        line = (data / example.origin.file).read_text("utf-8").splitlines()[example.origin.line - 1]
        assert example.question in line


@given(st.integers(1, 70), st.integers(1, 70), st.sets(st.integers(0, 80), min_size=2))
@settings(max_examples=15)
def test_growing_a_target_keeps_the_rows_and_their_order(one: int, other: int, numbers: set[int]) -> None:
    with TemporaryDirectory() as folder:
        data = Path(folder, "data")
        write_cards(data, [f"card {number}" for number in numbers])
        small, large = (
            [
                e.id
                for e in read_examples(run_stage(data, Path(folder, str(place)), {"medical_flashcards": {"target": n}}))
            ]
            for place, n in enumerate(sorted([one, other]))
        )
    assert len(small) == min(len(numbers), one, other)
    assert [id for id in large if id in set(small)] == small


def examples_of(data: Path, out: Path, cards: list[str]) -> list[Example]:
    write_cards(data, cards)
    return list(read_examples(run_stage(data, out, {"medical_flashcards": {"target": "all"}})))


def test_of_equal_rows_the_first_read_is_kept(data: Path, tmp_path: Path) -> None:
    found = examples_of(data, tmp_path / "out", ["other", "twice", "between", "twice"])
    assert sorted(example.origin.line for example in found) == [1, 2, 3]


@pytest.mark.parametrize(
    "cards", [["Fever", "fever", "FEVER"], ["FEVER", "Fever", "fever"], ["fever", "FEVER", "Fever"]]
)
def test_of_rows_that_say_the_same_the_one_kept_does_not_depend_on_their_order(
    data: Path, tmp_path: Path, cards: list[str]
) -> None:
    [kept] = examples_of(data, tmp_path / "out", cards)
    [also] = examples_of(data, tmp_path / "again", sorted(cards))
    assert kept.exchanges == also.exchanges


def test_a_row_more_in_one_source_moves_no_other_row(data: Path, tmp_path: Path) -> None:
    write_advice(data, {"a": SENTENCES})
    write_cards(data, CARDS)
    before = [e.id for e in read_examples(run_stage(data, tmp_path / "before", ALL))]
    write_cards(data, [*CARDS, "one more"])
    after = [e.id for e in read_examples(run_stage(data, tmp_path / "after", ALL))]
    assert len(set(after) - set(before)) == 1
    assert [id for id in after if id in set(before)] == before
