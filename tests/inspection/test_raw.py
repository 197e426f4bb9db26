import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from med42lib.core.errors import DataError
from med42lib.formats.records import Origin
from med42lib.inspection.documents import words_of
from med42lib.inspection.raw import find_raw, raw_text
from med42lib.readers.files import DataFile
from med42lib.store.manifest import describe_file

ROWS = [{"q": "What is fever?", "n": 1}, {"q": "What is “scurvy”?", "n": 2}]


def text_of(folder: Path, name: str, content: str | bytes, number: int, words: str = "") -> str | None:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return raw_text(DataFile(name, path), number, words_of(words))


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.jsonl.gz"])
def test_a_line_of_json_is_shown_as_it_stands(tmp_path: Path, name: str) -> None:
    lines = ['{"q":  "spaced",\t"n": 1}', '{"q": "\\u00e9", "n": 2}']
    content = "".join(f"{line}\r\n" for line in lines).encode()
    packed = gzip.compress(content) if name.endswith(".gz") else content
    assert [text_of(tmp_path, name, packed, number) for number in (1, 2, 3)] == [*lines, None]


@pytest.mark.parametrize("indent", [None, 1])
def test_an_element_of_a_json_document_is_written_as_json(tmp_path: Path, indent: int | None) -> None:
    content = json.dumps(ROWS, indent=indent)
    assert json.loads(text_of(tmp_path, "rows.json", content, 2) or "") == ROWS[1]
    assert text_of(tmp_path, "rows.json", content, 3) is None


def test_a_document_on_one_line_is_not_taken_for_a_line_of_json(tmp_path: Path) -> None:
    document = {"about": {"title": "a title"}, "rows": ROWS}
    found = text_of(tmp_path, "rows.json", json.dumps(document), 1, "What is fever?")
    assert json.loads(found or "") == ROWS[0]


def test_a_csv_row_may_span_lines_and_is_found_by_its_first(tmp_path: Path) -> None:
    content = '\ufeffq,a\r\n"one\r\ntwo ""2""",x\r\nlast,y\r\n'
    assert text_of(tmp_path, "rows.csv", content, 1) == "q,a"
    assert text_of(tmp_path, "rows.csv", content, 2) == '"one\r\ntwo ""2""",x'
    assert text_of(tmp_path, "rows.csv", content, 4) == "last,y"
    assert text_of(tmp_path, "rows.csv", content, 9) is None


def test_a_row_of_parquet_is_written_as_json(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "made.parquet", row_group_size=1)
    content = (tmp_path / "made.parquet").read_bytes()
    assert json.loads(text_of(tmp_path, "rows.parquet", content, 2) or "") == ROWS[1]
    assert text_of(tmp_path, "rows.parquet", content, 3) is None
    with pytest.raises(DataError, match=r"rows\.parquet is not a whole Parquet file"):
        text_of(tmp_path, "rows.parquet", content[:-9], 1)


def test_an_element_of_xml_is_shown_as_it_stands(tmp_path: Path) -> None:
    pair = '<QAPair pid="1"><Question>What is <i>fever</i>?</Question></QAPair>'
    assert text_of(tmp_path, "a.xml", f"<Document><QAPairs>{pair}</QAPairs></Document>", 1, "What is fever?") == pair
    with pytest.raises(DataError, match=r"a\.xml: the file is not well-formed XML"):
        text_of(tmp_path, "a.xml", "<Document>", 1)


def test_only_the_wanted_file_is_touched(tmp_path: Path) -> None:
    (tmp_path / "huge").mkdir()
    (tmp_path / "huge" / "outside").symlink_to("/nowhere")
    (tmp_path / "rows.jsonl").write_text("{}\n")
    where = {"sha256": "", "words": frozenset[str](), "cache": tmp_path / "cache"}
    assert find_raw(str(tmp_path), Origin("", "rows.jsonl", 1), **where).text == "{}"
    assert "has no file other.jsonl" in find_raw(str(tmp_path), Origin("", "other.jsonl", 1), **where).note


@pytest.mark.slow
def test_a_remote_file_is_fetched_once(bucket: str, tmp_path: Path) -> None:
    from med42lib.store.backends.s3 import make_client

    make_client().put_object(Bucket=bucket, Key="data/sub/rows.jsonl", Body=b'{"n": 1}\n')
    address, cache = f"s3://{bucket}/data", tmp_path / "cache"
    raw = find_raw(address, Origin("", "sub/rows.jsonl", 1), sha256="", words=frozenset(), cache=cache)
    assert (raw.text, raw.note) == ('{"n": 1}', "")
    make_client().delete_object(Bucket=bucket, Key="data/sub/rows.jsonl")
    assert find_raw(address, Origin("", "sub/rows.jsonl", 1), sha256="", words=frozenset(), cache=cache) == raw
    gone = find_raw(address, Origin("", "sub/rows.jsonl", 1), sha256="", words=frozenset(), cache=tmp_path / "other")
    assert gone.text is None
    assert "does not exist" in gone.note


def test_what_was_changed_is_shown_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"n": 1}\n')
    sha256 = describe_file(tmp_path / "rows.jsonl", "").sha256
    where = {"words": frozenset[str](), "cache": tmp_path / "cache"}
    same = find_raw(str(tmp_path), Origin("", "rows.jsonl", 1), sha256=sha256, **where)
    assert (same.text, same.note) == ('{"n": 1}', "")
    other = find_raw(str(tmp_path), Origin("", "rows.jsonl", 1), sha256="0" * 64, **where)
    assert other.text == '{"n": 1}'
    assert other.note == f"the file was changed since: its sha256 is now {sha256}"
    behind = find_raw(str(tmp_path), Origin("", "rows.jsonl", 7), sha256=sha256, **where)
    assert (behind.text, behind.note) == (None, "the file has no record 7")
