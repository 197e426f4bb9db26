"""What a plain row is, by what becomes of the same rows one by one."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from med42lib.assemble.conversations.columns import batches, examples
from med42lib.assemble.source import Conversations, ReadOptions, load_source
from med42lib.assemble.sources._openorca_columns import split_plain
from med42lib.core.errors import DataError
from med42lib.formats.rejects import Reject, Tally
from med42lib.readers.files import DataFolder
from med42lib.readers.hf_layout import ParquetBatch
from med42lib.readers.parsers import Record
from med42lib.store.artifacts import Source
from tests.assemble.small_sources import one_by_one

OTHERS = ("flan.", "niv.")
COLUMNS = ("id", "system_prompt", "question", "response")
TEXT = pa.string()
LARGE = pa.large_string()

odd_ids = st.sampled_from(["t0.2 ", " t0.3", "flan.4", "niv.5", "t1.6", "t0.é", "", "t0.", None])
ids = st.just("t0.1") | odd_ids
bits = st.sampled_from(
    ["", " ", "\u200b", "a", "é", "pubmedqa", "PubMed_QA", "\n", "x" * 300, "\x1c", "\u00a0", "\x00"]
)
odd_texts = st.none() | st.lists(bits, max_size=4).map("".join)
texts = st.sampled_from(["a", "é b", "e\u0301 b"]) | odd_texts
good = st.sampled_from([("t0.1", "", "Why?", "So."), ("t0.2", None, " Où ?", "Là.\r\n"), ("t0.é", "", "Why?", "So.")])
rows = st.lists(good | st.tuples(ids, texts, texts, texts), max_size=8)


def batch(*rows: tuple[Any, ...], kind: Any = TEXT) -> ParquetBatch:
    columns = [pa.array([row[place] for row in rows], kind) for place in range(len(COLUMNS))]
    return ParquetBatch(
        "x.parquet", pa.array(range(1, len(rows) + 1), pa.int64()), pa.record_batch(columns, list(COLUMNS))
    )


def apart(*rows: tuple[Any, ...], kind: Any = TEXT, unwanted: tuple[str, ...] = ()) -> tuple[list[int], list[int]]:
    plain, rest = split_plain(batch(*rows, kind=kind), "t0.", others=OTHERS, unwanted=unwanted)
    return plain["line"].to_pylist(), rest.numbers.to_pylist()


def test_rows_of_a_table_with_further_columns_are_looked_at_one_by_one() -> None:
    plain = batch(("t0.1", "", "Why?", "So."))
    wider = ParquetBatch(plain.file, plain.numbers, plain.rows.append_column("context", pa.array(["A man."])))
    made, rest = split_plain(wider, "t0.", others=OTHERS, unwanted=())
    assert (len(made), rest.numbers.to_pylist()) == (0, [1])


def read(rows: list[tuple[Any, ...]], kind: Any, *, benchmark_tasks: bool) -> tuple[list[Any], dict[str, Any]]:
    """Read the rows of one Parquet file; gives the examples in their order, and the counts of what was set aside."""
    source = load_source("openorca_t0")
    tally = Tally("openorca_t0")
    with TemporaryDirectory() as folder:
        pq.write_table(pa.Table.from_batches([batch(*rows, kind=kind).rows]), Path(folder, "x.parquet"))
        read_options = ReadOptions("letters", benchmark_tasks=benchmark_tasks)
        found = source.publisher.read(DataFolder(Source(folder)), "x.parquet", read_options)
        kept = list(tally.keep(found))
    made = [row for conversations in batches(kept) for row in examples(conversations, source, None).to_pylist()]
    return made, {**tally.counts(), "kept": tally.num_kept}


@given(rows, st.booleans())
def test_it_makes_no_difference_whether_rows_are_read_as_columns(rows: list[Any], benchmark_tasks: bool) -> None:
    assert read(rows, TEXT, benchmark_tasks=benchmark_tasks) == read(rows, LARGE, benchmark_tasks=benchmark_tasks)


def test_plain_rows_are_told_from_the_rest_and_other_collections_are_in_neither() -> None:
    rows = [("t0.1", "", "Why?", "So."), ("flan.2", "", "Why?", "So."), ("t1.3", "", "Why?", "So.")]
    assert apart(*rows) == ([1], [3])


def test_of_equal_rows_the_first_stays_the_first_whether_plain_or_not() -> None:
    same = ("", "Why?", "So.")
    for ids in (["t0.é", "t0.1"], ["t0.1", "t0.é"]):
        found, _ = read([(id, *same) for id in ids], TEXT, benchmark_tasks=False)
        assert [row["publisher_id"] for row in found] == ids


@pytest.mark.parametrize("twice", COLUMNS)
def test_a_column_that_is_there_twice_is_a_fault_of_the_file(tmp_path: Path, twice: str) -> None:
    one = batch(("t0.1", "a", "b", "c")).rows
    doubled = pa.table([*one.columns, one[twice]], names=[*COLUMNS, twice])
    assert_refused(tmp_path, doubled, "has a column that cannot be read")


def test_a_further_column_that_arrow_cannot_take_from_keeps_no_row_from_being_read(tmp_path: Path) -> None:
    one = batch(("t0.1", "a", "b", "c"), ("niv.2", "a", "b", "c")).rows
    other = pa.array(["x", "a view of more than twelve bytes"], pa.string_view())
    pq.write_table(pa.Table.from_batches([one]).append_column("other", other), tmp_path / "x.parquet")
    (record,) = one_by_one(read_file(tmp_path))
    assert isinstance(record, Record)
    assert record.unread == ("other",)


def test_broken_text_of_another_collection_is_nobodys_fault_and_of_this_one_the_files(tmp_path: Path) -> None:
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff\xfe"]).buffers())
    for id, refused in (("niv.1", False), ("t0.1", True)):
        table = pa.table({"id": [id], "system_prompt": [""], "question": broken, "response": ["So."]})
        if refused:
            assert_refused(tmp_path, table, "is not a whole Parquet file")
        else:
            pq.write_table(table, tmp_path / "x.parquet")
            assert list(one_by_one(read_file(tmp_path))) == []


def read_file(folder: Path) -> Conversations:
    return load_source("openorca_t0").publisher.read(
        DataFolder(Source(str(folder))), "x.parquet", ReadOptions("letters")
    )


def assert_refused(folder: Path, table: pa.Table, reason: str) -> None:
    pq.write_table(table, folder / "x.parquet")
    with pytest.raises(DataError, match=f"x.parquet {reason}"):
        list(read_file(folder))


@pytest.mark.parametrize("space", [" ", "\u00a0", "\u200b", None, ""])
def test_a_row_without_a_text_is_not_plain(space: str | None) -> None:
    assert apart(("t0.1", "", space, "So."), ("t0.2", "", "Why?", space)) == ([], [1, 2])


def test_a_row_without_a_system_prompt_is_plain_and_its_system_prompt_empty() -> None:
    plain, _ = split_plain(batch(("t0.1", None, "Why?", "So.")), "t0.", others=OTHERS, unwanted=())
    assert plain["system"].to_pylist() == [""]


def test_a_wording_is_found_in_any_case_and_taken_literally() -> None:
    rows = [("t0.1", "", "What (A.b)?", "So."), ("t0.2", "", "What axb?", "So.")]
    assert apart(*rows, unwanted=("(a.b)", "never")) == ([2], [1])


def test_text_outside_ascii_is_no_obstacle() -> None:
    assert apart(("t0.1", "é", "Où ?", "“Là” a"), ("t0.2", "", "где", "там")) == ([1], [2])


@pytest.mark.parametrize("kind", [LARGE, pa.dictionary(pa.int32(), pa.string()), pa.binary()])
def test_columns_of_another_kind_are_left_to_be_read_row_by_row(kind: Any) -> None:
    assert apart(("t0.1", "a", "b", "c"), ("flan.2", "a", "b", "c"), kind=kind) == ([], [1, 2])


def test_a_table_that_lacks_a_column_is_left_to_be_read_row_by_row() -> None:
    lacking = batch(("t0.1", "a", "b", "c"))
    lacking = ParquetBatch(lacking.file, lacking.numbers, lacking.rows.drop_columns(["response"]))
    plain, rest = split_plain(lacking, "t0.", others=OTHERS, unwanted=())
    assert (len(plain), len(rest.rows)) == (0, 1)


def test_a_plain_row_keeps_its_number_and_file() -> None:
    found = split_plain(
        batch(*[("niv.1", "", "a", "b")] * 3, ("t0.9", "s", "q", "r")), "t0.", others=OTHERS, unwanted=()
    )
    [record] = [record for record in one_by_one(iter([found[0]])) if not isinstance(record, Reject)]
    assert (record.file, record.line, record.value.publisher_id, record.value.system) == ("x.parquet", 4, "t0.9", "s")
