import gzip
import json
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from med42lib.core.errors import DataError
from med42lib.formats.rejects import Reject
from med42lib.readers.files import DataFolder
from med42lib.readers.hf_layout import ROWS_PER_BATCH, SUFFIXES, parquet_batches, split_of, table_rows
from med42lib.readers.parsers import Record
from med42lib.store.artifacts import Source

ROWS: list[dict[str, Any]] = [{"q": "Fever?", "a": ["yes", "no"], "n": 1}, {"q": "Cough…", "a": [], "n": None}]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows in the format that the file's ending says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        return
    if path.suffix == ".arrow":
        table = pa.Table.from_pylist(rows)
        with pa.OSFile(str(path), "wb") as stream, pa.ipc.new_stream(stream, table.schema) as batches:
            batches.write_table(table, max_chunksize=1)
        return
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    content = json.dumps(rows).encode() if ".json" in path.suffixes else lines
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def read(root: Path, path: str, **options: Any) -> list[Any]:
    return list(table_rows(DataFolder(Source(str(root))), path, **options))


def places(root: Path, path: str, **options: Any) -> list[tuple[str, int, Any]]:
    return [(record.file, record.line, record.value["n"]) for record in read(root, path, **options)]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_gives_the_same_rows_with_their_numbers(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"x{suffix}", ROWS)
    assert read(tmp_path, f"x{suffix}") == [Record(f"x{suffix}", n, row) for n, row in enumerate(ROWS, start=1)]


def test_what_datasets_saved_to_disk_is_read_without_its_descriptions(tmp_path: Path) -> None:
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "x/train")
    datasets.Dataset.from_list([{"q": "Never?", "a": [], "n": 9}]).save_to_disk(tmp_path / "x/test")
    assert [row.value for row in read(tmp_path, "x")] == ROWS


def test_json_lines_in_a_file_named_json_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('\n{"n": 1}\n\n{"n": 2}\n')
    assert places(tmp_path, "x.json") == [("x.json", 2, 1), ("x.json", 4, 2)]


def test_rows_are_numbered_through_all_batches(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", [{"n": n} for n in range(2 * ROWS_PER_BATCH + 5)])
    found = places(tmp_path, "x.parquet")
    assert found == [("x.parquet", n + 1, n) for n in range(2 * ROWS_PER_BATCH + 5)]


def test_a_folder_gives_its_train_split_alone_and_opens_no_other(tmp_path: Path) -> None:
    for split in ("train", "test", "validation"):
        write(tmp_path / f"x/data/{split}-00000-of-00001.parquet", [{"n": split}])
    folder = DataFolder(Source(str(tmp_path)))
    assert [row.value["n"] for row in table_rows(folder, "x") if isinstance(row, Record)] == ["train"]
    assert folder.opened == ["x/data/train-00000-of-00001.parquet"]


@pytest.mark.parametrize(
    ("splits", "found"), [(("validation",), ["dev"]), (("train", "test"), ["test", "train"]), (("test",), ["test"])]
)
def test_the_splits_asked_for_are_read(tmp_path: Path, splits: tuple[str, ...], found: list[str]) -> None:
    for split in ("train", "test", "dev"):
        write(tmp_path / f"x/{split}.jsonl", [{"n": split}])
    assert [n for _, _, n in places(tmp_path, "x", splits=splits)] == found


def test_a_file_or_pattern_is_read_whatever_its_split(tmp_path: Path) -> None:
    write(tmp_path / "x/deep/test.jsonl", [{"n": 1}])
    write(tmp_path / "x/train.jsonl", [{"n": 2}])
    assert places(tmp_path, "x/deep/test.jsonl") == [("x/deep/test.jsonl", 1, 1)]
    assert places(tmp_path, "x/**/*.jsonl") == [("x/deep/test.jsonl", 1, 1), ("x/train.jsonl", 1, 2)]
    assert places(tmp_path, "x/*.jsonl") == [("x/train.jsonl", 1, 2)]


def test_files_of_a_split_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for number in (2, 0, 1):
        write(tmp_path / f"x/train-{number}.parquet", [{"n": number}])
    (tmp_path / "x/README.md").write_text("not a table")
    assert [n for _, _, n in places(tmp_path, "x")] == [0, 1, 2]
    assert places(tmp_path, ".") == places(tmp_path, "x")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-00000-of-00002.parquet", "train"),
        ("main/test/0000.parquet", "test"),
        ("train/test.jsonl", "test"),
        ("valid.json", "validation"),
        ("anatomy_dev.jsonl", "validation"),
        ("VAL.json", "validation"),
        ("latest.parquet", "train"),
        ("development.json", "train"),
        ("0000.parquet", "train"),
    ],
)
def test_a_files_split_is_what_its_name_or_else_its_folder_says(name: str, split: str) -> None:
    assert split_of(name) == split


def test_the_name_of_the_folder_that_was_asked_for_says_nothing(tmp_path: Path) -> None:
    write(tmp_path / "test/x.jsonl", [{"n": 1}])
    assert places(tmp_path, "test") == [("test/x.jsonl", 1, 1)]


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_parquet_file_with_a_broken_footer_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"(?s)x\.parquet is not a whole Parquet file .*copy it again"):
        read(tmp_path, "x.parquet")


def test_a_parquet_file_damaged_in_the_middle_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", [{"n": n, "text": f"text {n}"} for n in range(5000)])
    content = bytearray((tmp_path / "x.parquet").read_bytes())
    content[200:5000] = bytes(4800)
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"(?s)x\.parquet is not a whole Parquet file"):
        read(tmp_path, "x.parquet")


def test_a_gzipped_file_cut_in_the_middle_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "x.jsonl.gz", [{"n": n} for n in range(1000)])
    whole = (tmp_path / "x.jsonl.gz").read_bytes()
    (tmp_path / "x.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"x\.jsonl\.gz is a gzipped file that was cut"):
        read(tmp_path, "x.jsonl.gz")


def test_a_broken_line_is_set_aside_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"n": 1}\n{"n": \n{"n": 3}\n')
    first, broken, last = read(tmp_path, "x.jsonl")
    assert isinstance(broken, Reject)
    assert (first.line, broken.line, broken.reason, last.line) == (1, 2, "the line is not valid JSON", 3)


def test_another_kind_of_file_is_refused_with_those_that_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b")
    with pytest.raises(DataError, match=r"x\.csv: expected a file ending in \.parquet, \.jsonl"):
        read(tmp_path, "x.csv")


def test_a_file_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    write(tmp_path / "exam.jsonl", [{"n": 1}])
    with pytest.raises(DataError, match=r" has no 'notthere\.jsonl'; it has exam\.jsonl$"):
        places(tmp_path, "notthere.jsonl")


def test_a_folder_without_the_split_says_what_it_looked_for(tmp_path: Path) -> None:
    write(tmp_path / "x/test.jsonl", [{"n": 1}])
    with pytest.raises(DataError, match=r"x holds no train split: .* among 1 such files; name a file, or a pattern"):
        read(tmp_path, "x")
    with pytest.raises(DataError, match=r"has no files y/\*\.parquet"):
        read(tmp_path, "y/*.parquet")


def test_rows_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "x/train-0.jsonl", [{"n": 1}, {"n": 2}])
    (tmp_path / "x/train-1.jsonl").write_bytes(b"\xff\xfebroken")
    rows = table_rows(DataFolder(Source(str(tmp_path))), "x")
    assert len(list(islice(rows, 2))) == 2
    with pytest.raises(DataError, match="UTF-16"):
        next(rows)


def test_a_batch_knows_its_rows_numbers_also_when_only_some_are_left(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", [{"n": n} for n in range(1, 2 * ROWS_PER_BATCH + 4)])
    batches = list(parquet_batches(DataFolder(Source(str(tmp_path))).file("x.parquet")))
    assert [len(batch.rows) for batch in batches] == [ROWS_PER_BATCH, ROWS_PER_BATCH, 3]
    even = [batch.filter(pc.equal(pc.bit_wise_and(batch.rows["n"], 1), 0)) for batch in batches]
    records = [record for batch in even for record in batch.records()]
    assert [(record.line, record.value["n"]) for record in records] == [(n, n) for n in range(2, 2052, 2)]


def test_text_that_is_not_utf_8_is_found_in_the_columns_that_somebody_uses(tmp_path: Path) -> None:
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff\xfe"]).buffers())
    pq.write_table(pa.table({"q": broken, "n": ["1"]}), tmp_path / "x.parquet")
    [batch] = parquet_batches(DataFolder(Source(str(tmp_path))).file("x.parquet"))
    batch.check_texts(["n"])
    with pytest.raises(DataError, match=r"x.parquet is not a whole Parquet file .*UTF8"):
        batch.check_texts(["n", "q"])


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        (pa.array([2**31 - 1], pa.int32()).cast(pa.date32()), "days=2147483647"),
        (pa.array([2**62], pa.timestamp("us")), "date value out of range"),
        (pa.array([1], pa.timestamp("us", tz="Nowhere/X")), "Nowhere/X"),
        (pa.array([2**62], pa.duration("ms")), "too large"),
    ],
)
def test_a_column_of_values_that_python_lacks_is_refused_with_what_to_do(
    tmp_path: Path, column: Any, problem: str
) -> None:
    pq.write_table(pa.table({"n": ["1"], "when": column}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=rf"x.parquet has a column that cannot be read \(.*{problem}.*write it without"):
        read(tmp_path, "x.parquet")


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table([pa.array(["x"]), pa.array(["y"])], names=["n", "n"]), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r'x.parquet has a column that cannot be read .*"n" exists 2 times'):
        read(tmp_path, "x.parquet")


def test_text_that_is_not_utf_8_in_parquet_is_refused(tmp_path: Path) -> None:
    latin = pa.array([b"caf\xe9"]).buffers()
    table = pa.table({"n": pa.Array.from_buffers(pa.string(), 1, latin)})
    pq.write_table(table, tmp_path / "x.parquet", write_statistics=False)
    with pytest.raises(DataError, match=r"x.parquet is not a whole Parquet file"):
        read(tmp_path, "x.parquet")


def test_repeated_values_may_be_stored_once(tmp_path: Path) -> None:
    rows = [{"system": "You are an assistant that answers questions. " * 20, "n": n} for n in range(20_000)]
    write(tmp_path / "x.parquet", rows)
    assert (tmp_path / "x.parquet").stat().st_size < 200_000
    assert len(read(tmp_path, "x.parquet")) == 20_000
