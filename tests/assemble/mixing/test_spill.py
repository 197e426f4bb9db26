from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from med42lib.assemble.mixing.select import Keys
from med42lib.assemble.mixing.spill import KEYS, RunWriter, read_keys, read_rows
from med42lib.formats.dataset import SCHEMA, row_of
from med42lib.formats.records import Example, Exchange
from med42lib.readers.cleaning import clean
from tests.assemble.small_sources import batch_of, example, rank_of
from tests.readers.test_cleaning import anything

EXAMPLES = [example(f"question {number}") for number in range(200)]
TALK = Example("s", "", "", (Exchange("a", "b"), Exchange("c", "d\n\té")), "", EXAMPLES[0].origin)


def written(folder: Path, examples: Iterable[Example], *, seed: int = 1, size: int = 10**9) -> Keys:
    folder.mkdir(exist_ok=True)
    writer = RunWriter(folder, seed, characters_per_run=size)
    for one in examples:
        writer.add(batch_of(one))
    writer.close()
    return read_keys(folder)


def all_rows(folder: Path, keys: Keys) -> list[dict[str, object]]:
    runs = sorted(set(keys["run"].tolist()))
    return [row for run in runs for row in read_rows(folder, run, np.sort(keys["row"][keys["run"] == run])).to_pylist()]


def sames(*examples: Example) -> list[int]:
    with TemporaryDirectory() as folder:
        keys = written(Path(folder), examples)
    same: list[int] = keys["same"][np.argsort(keys["sequence"])].tolist()
    return same


@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"])), st.text("ab \n")), max_size=8))
def test_rows_come_back_as_they_were_whatever_the_size_of_runs(texts: list[tuple[str, str]]) -> None:
    examples = [TALK, *(replace(TALK, exchanges=(Exchange(*text), Exchange(*text))) for text in texts)]
    with TemporaryDirectory() as folder:
        keys = written(Path(folder), examples, size=5)
        rows = all_rows(Path(folder), keys)
    assert [rows[n] for n in np.argsort(keys["sequence"], kind="stable")] == [row_of(one) for one in examples]


def test_a_run_is_sorted_by_rank_and_its_keys_say_where_each_row_stands(tmp_path: Path) -> None:
    keys = written(tmp_path, EXAMPLES, size=800)
    assert len(list(tmp_path.glob("run-*"))) > 3
    for run in range(len(list(tmp_path.glob("run-*")))):
        of_run = keys[keys["run"] == run]
        assert of_run["row"].tolist() == list(range(len(of_run)))
        assert (np.diff(of_run["rank"].astype(object)) > 0).all()
    for key, row in zip(keys, all_rows(tmp_path, keys), strict=True):
        assert int(key["rank"]) == rank_of(str(row["id"]), 1)
        assert row == row_of(EXAMPLES[key["sequence"]])
        assert key["characters"] == sum(
            len(text) for e in EXAMPLES[key["sequence"]].exchanges for text in (e.prompter, e.assistant)
        )


def test_the_size_of_runs_changes_only_where_rows_lie(tmp_path: Path) -> None:
    whole, split = written(tmp_path / "a", EXAMPLES), written(tmp_path / "b", EXAMPLES, size=300)
    assert set(whole["run"]) == {0}
    assert set(split["run"]) == set(range(len(list((tmp_path / "b").glob("run-*")))))
    for field in ("rank", "same", "characters", "sequence"):
        np.testing.assert_array_equal(np.sort(whole[field]), np.sort(split[field]))


def test_part_of_a_batch_is_as_good_as_the_whole(tmp_path: Path) -> None:
    talks = [replace(TALK, exchanges=(Exchange("a" * n, "b"), Exchange("c", "d" * n))) for n in range(1, 9)]
    keys, writer = written(tmp_path / "whole", talks[2:5]), RunWriter(tmp_path, 1)
    writer.add(batch_of(*talks).slice(2, 3))
    writer.close()
    np.testing.assert_array_equal(read_keys(tmp_path), keys)


@pytest.mark.parametrize("size", [1, 7, 64, 200])
def test_neither_does_it_matter_how_rows_are_batched(tmp_path: Path, size: int) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    other.mkdir()
    keys, writer = written(one, EXAMPLES), RunWriter(other, 1)
    for start in range(0, len(EXAMPLES), size):
        writer.add(batch_of(*EXAMPLES[start : start + size]))
    writer.close()
    np.testing.assert_array_equal(read_keys(other), keys)
    assert (other / "run-00000.arrow").read_bytes() == (one / "run-00000.arrow").read_bytes()


def test_the_reading_order_changes_nothing_in_a_run(tmp_path: Path) -> None:
    written(tmp_path / "a", EXAMPLES)
    written(tmp_path / "b", reversed(EXAMPLES))
    [one], [other] = (tmp_path / "a").glob("run-*"), (tmp_path / "b").glob("run-*")
    assert one.read_bytes() == other.read_bytes()


def test_no_more_than_one_run_is_held_while_reading(tmp_path: Path) -> None:
    before, held = pa.total_allocated_bytes(), []
    writer = RunWriter(tmp_path, 1, characters_per_run=400)
    for number in range(500):
        batch = batch_of(example(f"question {number}"))
        writer.add(batch)
        held.append(pa.total_allocated_bytes() - before)
    assert max(held[100:]) < 2 * max(held[:100])
    assert len(list(tmp_path.glob("run-*"))) > 20, "what is not held was written"


def test_a_row_larger_than_a_run_is_a_run_of_its_own(tmp_path: Path) -> None:
    keys = written(tmp_path, [example("x" * 5000), example("y" * 5000), example("z")], size=1000)
    assert keys["run"].tolist() == [0, 1, 2]


def test_the_seed_decides_the_order_and_nothing_else(tmp_path: Path) -> None:
    one, other = written(tmp_path / "a", EXAMPLES, seed=1), written(tmp_path / "b", EXAMPLES, seed=2)
    assert one["sequence"].tolist() != other["sequence"].tolist()
    assert set(one["same"]) == set(other["same"])


@pytest.mark.parametrize("text", ["FEVER and cough", "Fever  and\ncough ", "fever\tand\u00a0cough", "ﬀever and cough"])
def test_case_and_white_space_make_no_difference_to_what_a_row_says(text: str) -> None:
    one, other = sames(example("fever and cough", answer="Yes."), example(text, answer="YES."))
    assert (one == other) == (text != "ﬀever and cough")


@given(st.lists(st.tuples(anything, anything), min_size=1, max_size=3))
def test_what_a_row_says_is_its_texts_without_case_and_white_space(texts: list[tuple[str, str]]) -> None:
    said = [clean(text) for turn in texts for text in turn]
    exchanges = tuple(Exchange(*turn) for turn in zip(said[::2], said[1::2], strict=True))
    plain = "\0".join("".join(text.casefold().split()) for text in said)
    assert sames(replace(TALK, exchanges=exchanges)) == [int(sha256(plain.encode()).hexdigest()[:16], 16)]


def test_a_word_moved_from_question_to_answer_is_something_else() -> None:
    assert len(set(sames(example("a b", answer="c"), example("a", answer="b c"), example("a", answer="b"), TALK))) == 4


def test_question_system_and_place_make_no_difference_to_what_a_row_says() -> None:
    first = example("fever")
    others = [replace(first, system="other"), replace(first, question="other"), example("fever", line=9)]
    assert len(set(sames(first, *others))) == 1


def test_rows_are_read_in_the_order_asked_for_and_twice_if_asked(tmp_path: Path) -> None:
    written(tmp_path, EXAMPLES)
    batch = read_rows(tmp_path, 0, np.array([5, 0, 5], np.uint32))
    ids = batch.column("id").to_pylist()
    assert batch.schema == SCHEMA
    assert ids[0] == ids[2] != ids[1]


def test_a_source_without_rows_has_keys_and_no_runs(tmp_path: Path) -> None:
    keys = written(tmp_path, [])
    assert keys.dtype == KEYS
    assert len(keys) == 0
    assert list(tmp_path.glob("run-*")) == []


def test_a_run_is_an_arrow_file_anybody_can_open(tmp_path: Path) -> None:
    written(tmp_path, EXAMPLES[:3])
    [run] = tmp_path.glob("run-*")
    with pa.memory_map(str(run)) as stream:
        assert pa.ipc.open_file(stream).read_all().num_rows == 3
