"""The reader, on the three samples drawn in `med42lib.formats.packed`: a (5 tokens), b (2), c (4)."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from med42lib.core.errors import DataError
from med42lib.formats.packed import Chunk, PackedDataset, PackedSample, PackInfo, token_dtype
from med42lib.pack.packing import Layout
from med42lib.pack.writer import PackedWriter

PAD = 99
INFO = PackInfo(
    policy="best_fit",
    chunk_length=6,
    num_examples=3,
    num_chunks=2,
    num_tokens=11,
    num_response_tokens=5,
    num_dropped=0,
    num_truncated=0,
    eos_token_id=2,
    pad_token_id=PAD,
    vocabulary_size=100,
)
SAMPLES = {"a": ([10, 11, 12, 13, 14], [0, 0, 0, 1, 1]), "b": ([20, 21], [0, 1]), "c": ([30, 31, 32, 33], [0, 0, 1, 1])}
BEST_FIT = Layout(np.array([[0, 0, 5], [2, 0, 4], [1, 0, 2]]), np.array([0, 1, 3]))
CONCATENATE = Layout(np.array([[0, 0, 5], [1, 0, 1], [1, 1, 1], [2, 0, 4]]), np.array([0, 2, 4]))


def write(folder: Path, layout: Layout, **changes: object) -> PackedDataset:
    info = replace(INFO, **changes)  # type: ignore[arg-type]
    with PackedWriter(folder, info.vocabulary_size) as writer:
        for name, (ids, response) in SAMPLES.items():
            writer.add(f"made/{name}", np.array(ids), np.array(response, np.bool_))
        writer.finish(layout, info)
    return PackedDataset(folder)


def rows(chunk: Chunk) -> list[list[int]]:
    return [chunk.input_ids_L.tolist(), chunk.labels_L.tolist(), chunk.position_ids_L.tolist()]


def test_best_fit_restarts_positions_with_each_sample_and_with_the_padding(tmp_path: Path) -> None:
    first, second = write(tmp_path, BEST_FIT)
    assert rows(first) == [[10, 11, 12, 13, 14, PAD], [-100, -100, -100, 13, 14, -100], [0, 1, 2, 3, 4, 0]]
    assert rows(second) == [[30, 31, 32, 33, 20, 21], [-100, -100, 32, 33, -100, 21], [0, 1, 2, 3, 0, 1]]
    assert (first.num_tokens, second.num_tokens) == (5, 6)


def test_concatenate_runs_positions_on_and_has_no_label_where_a_chunk_begins(tmp_path: Path) -> None:
    first, second = write(tmp_path, CONCATENATE, policy="concatenate")
    assert rows(first) == [[10, 11, 12, 13, 14, 20], [-100, -100, -100, 13, 14, -100], [0, 1, 2, 3, 4, 5]]
    assert rows(second) == [[21, 30, 31, 32, 33, PAD], [-100, -100, -100, 32, 33, -100], [0, 1, 2, 3, 4, 5]]


def test_every_array_is_int64(tmp_path: Path) -> None:
    chunk = write(tmp_path, BEST_FIT)[1]
    assert {a.dtype for a in (chunk.input_ids_L, chunk.labels_L, chunk.position_ids_L)} == {np.dtype(np.int64)}


def test_chunks_say_which_examples_fill_them(tmp_path: Path) -> None:
    dataset = write(tmp_path, CONCATENATE, policy="concatenate")
    assert dataset.samples(0) == [PackedSample("made/a", 0, 5, offset=0), PackedSample("made/b", 5, 6, offset=0)]
    assert dataset.samples(1) == [PackedSample("made/b", 0, 1, offset=1), PackedSample("made/c", 1, 5, offset=0)]


def test_a_changed_chunk_does_not_change_the_file(tmp_path: Path) -> None:
    dataset = write(tmp_path, BEST_FIT)
    dataset[0].input_ids_L[:] = 0
    assert dataset[0].input_ids_L[0] == 10


def test_it_is_a_sequence_of_its_chunks(tmp_path: Path) -> None:
    dataset = write(tmp_path, BEST_FIT)
    assert len(dataset) == len(list(dataset)) == 2
    for outside in (-1, 2):
        with pytest.raises(IndexError, match=f"chunk {outside} of 2"):
            dataset[outside]


@pytest.mark.parametrize(("vocabulary_size", "num_bytes"), [(1 << 16, 4), ((1 << 16) - 1, 2)])
def test_ids_take_two_bytes_where_they_fit(tmp_path: Path, vocabulary_size: int, num_bytes: int) -> None:
    dataset = write(tmp_path, BEST_FIT, vocabulary_size=vocabulary_size)
    assert (tmp_path / "tokens.bin").stat().st_size == 11 * num_bytes
    assert dataset[1].input_ids_L.tolist() == [30, 31, 32, 33, 20, 21]
    assert dataset.info.token_dtype is token_dtype(vocabulary_size)


def test_info_survives_the_file_and_knows_its_efficiency(tmp_path: Path) -> None:
    assert write(tmp_path, BEST_FIT).info == INFO
    assert INFO.efficiency == pytest.approx(11 / 12)


def test_a_folder_that_is_not_packed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no packed\.json: it is not an output of pack"):
        PackedDataset(tmp_path)


def remove_tokens(folder: Path) -> None:
    (folder / "tokens.bin").unlink()


def cut_responses(folder: Path) -> None:
    (folder / "responses.bin").write_bytes(b"\0" * 4)


def cut_pieces(folder: Path) -> None:
    (folder / "pieces.npy").write_bytes((folder / "pieces.npy").read_bytes()[:-8])


def lose_a_field(folder: Path) -> None:
    (folder / "packed.json").write_text('{"policy": "best_fit"}')


@pytest.mark.parametrize("damage", [remove_tokens, cut_responses, cut_pieces, lose_a_field])
def test_a_damaged_folder_is_refused_with_what_to_do(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    write(tmp_path, BEST_FIT)
    damage(tmp_path)
    with pytest.raises(DataError, match="run pack again"):
        PackedDataset(tmp_path)
