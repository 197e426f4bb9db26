"""Files of every source that are cut, packed, empty, encoded otherwise or out of all proportion."""

from __future__ import annotations

import gzip
import io
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from med42lib.assemble.reading.read_source import read_source
from med42lib.assemble.source import Conversation
from med42lib.core.errors import DataError
from med42lib.readers.files import MAX_LINE_BYTES
from tests.assemble.good_rows import GOOD, Key, Row, json_lines, read_path
from tests.assemble.test_bad_input import CSV, KEYS, read_text, reading, write_files

XML = [key for key in KEYS if GOOD[key].name.endswith("xml")]
LINES = [key for key in KEYS if GOOD[key].write is json_lines]
TABLES = [key for key in LINES if GOOD[key].name.endswith(".jsonl") and key != ("medqa", "publisher")]
BY_FORMAT: list[Key] = [
    *[("medqa", "publisher"), ("openorca_t0", "huggingface"), ("headqa", "publisher")],
    *[("opengpt", "publisher"), ("medquad", "publisher"), ("mmlu", "publisher")],
]
"""JSON lines, a table, a JSON document, CSV with a header, XML, CSV without one."""

REALLY_LONG: list[Key] = [("medqa", "publisher"), ("cord19", "publisher")]


def good_text(key: Key, num_rows: int = 1) -> str:
    return GOOD[key].write([GOOD[key].row] * num_rows)


def parquet(rows: list[Row]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    return stream.getvalue()


@pytest.mark.parametrize("key", KEYS, ids="-".join)
def test_a_gzipped_file_is_read_as_it_is(write: Any, conversations: Any, key: Key) -> None:
    plain = read_text(write, conversations, key, good_text(key))
    assert read_text(write, conversations, key, gzip.compress(good_text(key).encode())) == plain


@pytest.mark.parametrize("key", KEYS, ids="-".join)
def test_a_gzip_cut_in_the_middle_is_refused_by_name(write: Any, conversations: Any, key: Key) -> None:
    packed = gzip.compress(os.urandom(20_000).hex().encode() if key in XML else good_text(key, 2000).encode())
    with pytest.raises(DataError, match=f"{GOOD[key].name} is a gzipped file that was cut or damaged .*copy it again"):
        read_text(write, conversations, key, packed[: len(packed) // 2])


@pytest.mark.parametrize("key", TABLES, ids="-".join)
def test_parquet_and_json_lines_of_the_same_rows_give_the_same(write: Any, conversations: Any, key: Key) -> None:
    lines = read_text(write, conversations, key, good_text(key))
    (conversation,) = read_text(write, conversations, key, parquet([GOOD[key].row]), name=parquet_name(write, key))
    assert conversation == lines[0]


@pytest.mark.parametrize("key", TABLES, ids="-".join)
def test_a_parquet_file_with_a_broken_footer_is_refused_by_name(write: Any, conversations: Any, key: Key) -> None:
    whole = parquet([GOOD[key].row])
    for broken in (whole[:-20], whole[:-8] + b"\xff\xff\xff\x7fPAR1", whole[:100], b""):
        with pytest.raises(DataError, match=r"\.parquet is not a whole Parquet file .*copy it again"):
            read_text(write, conversations, key, broken, name=parquet_name(write, key))


def parquet_name(write: Any, key: Key) -> str:
    """Name the Parquet file, and take away the JSON lines of the same table."""
    write(GOOD[key].name, "").unlink()
    return GOOD[key].name.removesuffix("jsonl") + "parquet"


@pytest.mark.parametrize("key", [key for key in KEYS if key not in XML], ids="-".join)
def test_utf_16_is_refused_by_name_with_what_to_do(write: Any, conversations: Any, key: Key) -> None:
    with pytest.raises(DataError, match=f"{GOOD[key].name} .*UTF-16; convert it with `iconv"):
        read_text(write, conversations, key, good_text(key).encode("utf-16"))


@pytest.mark.parametrize("key", XML, ids="-".join)
def test_xml_in_utf_16_is_read(write: Any, conversations: Any, key: Key) -> None:
    plain = read_text(write, conversations, key, good_text(key))
    assert read_text(write, conversations, key, good_text(key).encode("utf-16")) == plain


@pytest.mark.parametrize("key", XML, ids="-".join)
@pytest.mark.parametrize("damage", ["broken tag", "cut", "not XML", "other root", "document type"])
def test_a_broken_xml_file_is_one_reject_and_the_other_files_go_on(
    write: Any, conversations: Any, key: Key, damage: str
) -> None:
    text = good_text(key, 3)
    broken = {
        "broken tag": text.replace("</A", "</B", 1),
        "cut": text[: len(text) // 2],
        "not XML": "Page not found",
        "other root": "<html/>",
        "document type": f"<!DOCTYPE a [<!ENTITY x 'ha'>]>{text}",
    }
    write(GOOD[key].name.replace(".xml", "-broken.xml"), broken[damage])
    reject, conversation = sorted(
        read_text(write, conversations, key, good_text(key)), key=lambda found: isinstance(found, Conversation)
    )
    assert reject[0] == "rejected"
    assert isinstance(conversation, Conversation)


@pytest.mark.parametrize("key", KEYS, ids="-".join)
def test_an_empty_file_fails_and_says_so(write: Any, data: Path, tmp_path: Path, key: Key) -> None:
    name = write_files(write, GOOD[key], "")
    empty = r"hold no records|has no column|not a whole JSON document|1 of 1 records were rejected|no such task"
    with pytest.raises(DataError, match=empty):
        read_source(reading(key, GOOD[key], data, name, max_rejected_share=0.5), tmp_path, int)


@pytest.mark.parametrize("key", KEYS, ids="-".join)
def test_an_empty_source_fails_and_names_what_is_missing(write: Any, conversations: Any, key: Key) -> None:
    write("other/readme.txt", "nothing")
    with pytest.raises(DataError, match=r"has no|holds no|has none|has neither|no such task"):
        conversations(key[0], layout=key[1], path=read_path(*key, GOOD[key].name), include=GOOD[key].include)


@pytest.mark.parametrize("key", KEYS, ids="-".join)
def test_a_symbolic_link_out_of_the_folder_is_refused(write: Any, conversations: Any, tmp_path: Path, key: Key) -> None:
    outside = tmp_path / "outside"
    outside.write_text(good_text(key))
    link = write(GOOD[key].name, "")
    link.unlink()
    link.symlink_to(outside)
    with pytest.raises(DataError, match=f"{link.name} is a symbolic link to {outside}, outside"):
        conversations(key[0], layout=key[1], path=read_path(*key, GOOD[key].name), include=GOOD[key].include)


@pytest.mark.parametrize("key", [*LINES, *CSV], ids="-".join)
def test_a_line_of_50_mb_is_set_aside_in_little_memory_and_the_rest_goes_on(
    write: Any, conversations: Any, monkeypatch: pytest.MonkeyPatch, key: Key
) -> None:
    """Two sources read 50 MB; the others a line that is as long beside a smaller limit."""
    length = 50_000_000 if key in REALLY_LONG else 400_000
    if key not in REALLY_LONG:
        monkeypatch.setattr("med42lib.readers.files.MAX_LINE_BYTES", length // 3)
        monkeypatch.setattr("med42lib.readers.parsers.MAX_LINE_BYTES", length // 3)
    good = GOOD[key]
    rows = [good.row, {**good.row, good.question: "LONG"}, good.row]
    write_files(write, good, good.write(rows).replace("LONG", "x" * length))
    tracemalloc.start()
    first, broken, last = conversations(key[0], layout=key[1], path=read_path(*key, good.name), include=good.include)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(first, Conversation)
    assert isinstance(last, Conversation)
    assert broken in [("rejected", "the line is too long"), ("rejected", "the row is not valid CSV")]
    assert peak < 6 * MAX_LINE_BYTES


@pytest.mark.parametrize("key", BY_FORMAT, ids="-".join)
def test_a_gzip_that_grows_a_thousand_times_is_refused_by_name(write: Any, conversations: Any, key: Key) -> None:
    bomb = gzip.compress(good_text(key).encode() + b" " * 70_000_000)
    with pytest.raises(DataError, match=f"{GOOD[key].name} unpacks to more than 200 times its size"):
        read_text(write, conversations, key, bomb)


@pytest.mark.parametrize("kind", ["packed pages", "one value for all rows"])
def test_a_parquet_file_that_grows_a_thousand_times_is_refused_by_name(
    write: Any, conversations: Any, kind: str
) -> None:
    path = write("openorca/x.parquet", "")
    if kind == "packed pages":
        pq.write_table(pa.table({"id": ["t0.1" * 17_500_000]}), path, compression="zstd", use_dictionary=False)
    else:
        repeated = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), ["t0." + "x" * 50_000])
        pq.write_table(pa.table({"id": repeated}), path, store_schema=False)
    assert path.stat().st_size < 300_000
    with pytest.raises(DataError, match=r"openorca/x.parquet unpacks to more than 200 times its size"):
        conversations("openorca_t0")
