"""The raw record is the one that the reader read, in every source's files and both layouts."""

import datetime
import gzip
import hashlib
import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from med42lib.assemble.source import Conversation, ReadOptions, load_source
from med42lib.core.errors import DataError
from med42lib.formats.records import Example, Exchange, Origin
from med42lib.formats.rejects import Reject
from med42lib.inspection.raw import MAX_DEPTH, RawRecord, find_raw, raw_of, record_at
from med42lib.readers.files import DataFile, DataFolder
from med42lib.readers.hf_layout import file_rows
from med42lib.readers.parsers import Record, csv_records
from med42lib.store.artifacts import Source
from med42lib.store.manifest import GIT_PREFIX, Input, Manifest, describe_file
from tests.assemble.good_rows import GOOD, Good, Key, csv_table, json_lines, read_path
from tests.assemble.small_sources import one_by_one
from tests.data_files import write_data

KEYS = sorted(GOOD)
TABLES = [key for key in KEYS if key[1] == "huggingface" and GOOD[key].write is json_lines]
ADDED: Mapping[Key, Mapping[str, str]] = {
    ("headqa", "publisher"): {"exam": "exam"},
    ("medquad", "publisher"): {"source": "NIDDK"},
    ("pubmedqa", "publisher"): {"PMID": "100"},
}
"""What a reader takes from around the record into it; PMIDs count from 100."""


def rows_of(good: Good) -> list[dict[str, Any]]:
    """Write three rows, whose questions hold a number, a line break and quotes."""
    text = good.row[good.question]
    texts = [re.sub(r"X|W\w+|Is|Consider", rf'\g<0>\n"{number}"', text, count=1) for number in range(3)]
    return [{**good.row, good.question: changed} for changed in texts]


def as_read(key: Key, row: Mapping[str, Any], number: int) -> object:
    """Say what a reader makes of a row: cells of CSV are text, and a row of Niv2's tables is one of several answers."""
    if GOOD[key].name.endswith(".csv"):
        cells = {name: str(value) for name, value in row.items()}
        return list(cells.values()) if key[0] == "mmlu" else cells
    if key == ("niv2", "huggingface"):
        return {**row, "targets": [row["targets"]]}
    added = {
        name: str(int(value) + number) if value.isdecimal() else value for name, value in ADDED.get(key, {}).items()
    }
    return {**row, **added}


def read(data: Path, key: Key, file: str) -> Iterator[Record[Conversation] | Reject]:
    """Read a file as assemble does."""
    layout = load_source(key[0]).layout(key[1])
    read_options = ReadOptions("letters", include=GOOD[key].include)
    return one_by_one(layout.read(DataFolder(Source(str(data))), read_path(*key, file), read_options))


def shown(data: Path, key: Key, record: Record[Conversation]) -> RawRecord:
    """Look up what an example of this conversation was made of."""
    said = record.value
    origin = Origin(said.publisher_id, record.file, record.line)
    example = Example(key[0], "MIT", "", said.exchanges, said.question, origin)
    config = {"sources": {key[0]: {"layout": key[1], "hub": None}}}
    return raw_of(example, manifest_of(data, config), sha256="", cache=data.parent / "cache")


def manifest_of(data: Path, config: dict[str, Any]) -> Manifest:
    inputs = {"data": Input("", str(data))}
    return Manifest("assemble", "dataset", "k", config, inputs, (), None, "2026-01-01T00:00:00+00:00", 1.0)


@pytest.mark.parametrize(
    ("key", "as_parquet"),
    [(key, False) for key in KEYS] + [(key, True) for key in TABLES],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else ("as_published", "as_parquet")[value],
)
def test_each_row_is_shown_with_the_record_that_its_reader_read(tmp_path: Path, key: Key, as_parquet: bool) -> None:
    good, rows = GOOD[key], rows_of(GOOD[key])
    for name, content in good.beside.items():
        write_data(tmp_path / "data" / name, content)
    file = good.name.replace(".jsonl", ".parquet") if as_parquet else good.name
    write_data(tmp_path / "data" / file, rows if as_parquet else good.write(rows))
    records = [record for record in read(tmp_path / "data", key, file) if isinstance(record, Record)]
    assert len(records) == len(rows)
    for number, (record, row) in enumerate(zip(records, rows, strict=True)):
        raw = shown(tmp_path / "data", key, record)
        assert (raw.record, raw.note) == (as_read(key, row, number), "")
        assert (raw.address, raw.file, raw.number) == (str(tmp_path / "data"), file, record.line)


@pytest.mark.parametrize("name", ["ward.jsonl", "ward.csv"])
def test_a_row_of_the_users_own_is_shown_as_it_stands_in_the_file(tmp_path: Path, name: str) -> None:
    row = {"prompt": "What is X?", "completion": "It is Y."}
    write_data(tmp_path / "data" / name, csv_table([row]) if name.endswith("csv") else [row])
    own = {"format": "instruction", "layout": "publisher", "hub": None, "path": name}
    manifest = manifest_of(tmp_path / "data", {"sources": {"ward": own}})
    origin = Origin("", name, 2 if name.endswith("csv") else 1)
    example = Example("ward", "ours", "", (Exchange("What is X?", "It is Y."),), "What is X?", origin)
    raw = raw_of(example, manifest, sha256="", cache=tmp_path / "cache")
    assert (raw.record, raw.note) == (row, "")


@pytest.mark.parametrize(
    ("name", "num_tried", "field"),
    [
        ("headqa", 5, "qtext"),
        ("pubmedqa", 5, "QUESTION"),
        ("medquad", 200, "Question"),
        ("mediqa", 10, "QuestionText"),
    ],
)
def test_the_record_is_found_in_real_documents(real_data: Path, name: str, num_tried: int, field: str) -> None:
    layout = load_source(name).publisher
    raw = real_data / "raw"
    found = one_by_one(layout.read(DataFolder(Source(str(raw))), layout.path, ReadOptions("letters")))
    records = [record for record in found if isinstance(record, Record)]
    for record in random.Random(42).sample(records, num_tried):
        read_again = record_at(DataFile(record.file, raw / record.file), record.line, layout.records)
        assert read_again[field].split() == record.value.question.split()


def test_rows_of_one_instance_are_shown_together(tmp_path: Path) -> None:
    good = GOOD["niv2", "huggingface"]
    rows = [{**good.row, "targets": answer} for answer in ("atoms", "an atom")]
    path = write_data(tmp_path / "task_train.jsonl", good.write(rows))
    records = load_source("niv2").huggingface.records
    assert record_at(DataFile(path.name, path), 1, records)["targets"] == ["atoms", "an atom"]


def test_what_follows_the_record_is_not_read(tmp_path: Path) -> None:
    path = write_data(tmp_path / "rows.csv", 'q,a\nfever,"x\ny"\ncough,z\n"never closed,z\n')
    file = DataFile("rows.csv", path)
    assert record_at(file, 2, csv_records) == {"q": "fever", "a": "x\ny"}
    assert record_at(file, 4, csv_records) == {"q": "cough", "a": "z"}
    with pytest.raises(DataError, match="never closed"):
        record_at(file, 9, csv_records)


def test_a_packed_file_is_read_as_any_other(tmp_path: Path) -> None:
    path = write_data(tmp_path / "rows.jsonl.gz", gzip.compress(b'{"n": 1}\n\n{"n": 3}\n'))
    assert record_at(DataFile(path.name, path), 3, file_rows) == {"n": 3}


def test_a_record_that_is_broken_or_not_there_is_told_with_its_place(tmp_path: Path) -> None:
    path = write_data(tmp_path / "rows.jsonl", '{"n": 1}\n{"n": \n')
    file = DataFile("rows.jsonl", path)
    with pytest.raises(DataError, match=r"rows\.jsonl, record 2: the line is not valid JSON \("):
        record_at(file, 2, file_rows)
    with pytest.raises(DataError, match=r"rows\.jsonl has no record 1,000"):
        record_at(file, 1_000, file_rows)


def test_a_source_that_this_version_cannot_read_is_said(tmp_path: Path) -> None:
    conversation = Conversation("1", (), "Which?")
    raw = shown(tmp_path, ("a_source_of_tomorrow", "publisher"), Record("rows.jsonl", 7, conversation))
    assert (raw.record, raw.note) == (None, "this version of med42 has no reader of 'a_source_of_tomorrow'")


def found_in(folder: Path, name: str, line: int, *, sha256: str = "", cache: Path | None = None) -> RawRecord:
    return find_raw(str(folder), Origin("", name, line), file_rows, sha256=sha256, cache=cache or folder / "cache")


def test_what_json_has_no_word_for_is_shown_as_text(tmp_path: Path) -> None:
    rows = [{"at": datetime.date(2026, 1, 2), "image": {"bytes": b"\x89", "of": [None, 1.5]}}]
    write_data(tmp_path / "rows.parquet", [{"at": None, "image": None}, *rows])
    shown = found_in(tmp_path, "rows.parquet", 2).record
    assert shown == {"at": "2026-01-02", "image": {"bytes": "b'\\x89'", "of": [None, 1.5]}}


@pytest.mark.parametrize("depth", [99, 900])
def test_a_record_is_shown_as_deep_as_can_be_written(tmp_path: Path, depth: int) -> None:
    line = f'{{"n": {"[" * depth}{"]" * depth}}}'
    (tmp_path / "rows.jsonl").write_text(line)
    raw = found_in(tmp_path, "rows.jsonl", 1)
    written = json.dumps(asdict(raw)["record"], indent=1, ensure_ascii=False)
    assert ("…" in written) == (depth > MAX_DEPTH)
    assert written.count("[") == min(depth, MAX_DEPTH - 1)


def test_only_the_wanted_file_is_touched(tmp_path: Path) -> None:
    (tmp_path / "huge").mkdir()
    (tmp_path / "huge" / "outside").symlink_to("/nowhere")
    (tmp_path / "rows.jsonl").write_text("{}\n")
    assert found_in(tmp_path, "rows.jsonl", 1).record == {}
    assert "has no file other.jsonl" in found_in(tmp_path, "other.jsonl", 1).note


@pytest.mark.slow
def test_a_remote_file_is_fetched_once(bucket: str, tmp_path: Path) -> None:
    from med42lib.store.backends.s3 import make_client

    make_client().put_object(Bucket=bucket, Key="data/sub/rows.jsonl", Body=b'{"n": 1}\n')
    address, origin = f"s3://{bucket}/data", Origin("", "sub/rows.jsonl", 1)
    raw = find_raw(address, origin, file_rows, sha256="", cache=tmp_path / "cache")
    assert (raw.record, raw.note) == ({"n": 1}, "")
    make_client().delete_object(Bucket=bucket, Key="data/sub/rows.jsonl")
    assert find_raw(address, origin, file_rows, sha256="", cache=tmp_path / "cache") == raw
    gone = find_raw(address, origin, file_rows, sha256="", cache=tmp_path / "other")
    assert gone.record is None
    assert "does not exist" in gone.note


def test_what_was_changed_is_shown_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"n": 1}\n')
    sha256 = describe_file(tmp_path / "rows.jsonl", "").sha256
    same = found_in(tmp_path, "rows.jsonl", 1, sha256=sha256)
    assert (same.record, same.note) == ({"n": 1}, "")
    other = found_in(tmp_path, "rows.jsonl", 1, sha256="0" * 64)
    changed = f"the file was changed since: its sha256 is now {sha256}"
    assert (other.record, other.note) == ({"n": 1}, changed)
    behind = found_in(tmp_path, "rows.jsonl", 7, sha256="0" * 64)
    assert (behind.record, behind.note) == (None, f"{changed}; cannot be read any more: rows.jsonl has no record 7")


def test_a_small_file_of_the_hub_is_known_by_the_hash_of_git(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"n": 1}\n')
    git_hash = hashlib.sha1(b'blob 9\0{"n": 1}\n').hexdigest()
    assert found_in(tmp_path, "rows.jsonl", 1, sha256=f"{GIT_PREFIX}{git_hash}").note == ""
    assert "was changed since" in found_in(tmp_path, "rows.jsonl", 1, sha256=f"{GIT_PREFIX}{'0' * 40}").note
