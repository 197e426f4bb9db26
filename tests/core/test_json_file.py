import json
from pathlib import Path

import pytest

from med42lib.core.errors import DataError
from med42lib.core.json_file import read_json, read_json_lines, read_json_list, write_json, write_json_lines

ADVICE = "fetch it again"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.json"


def test_an_object_is_read(path: Path) -> None:
    path.write_text('{"a": "β"}', encoding="utf-8")
    assert read_json(path, ADVICE) == {"a": "β"}


def test_a_list_of_objects_is_read(path: Path) -> None:
    path.write_text('[{"a": 1}, {}]')
    assert read_json_list(path, ADVICE) == [{"a": 1}, {}]


@pytest.mark.parametrize("content", [b'{"a": ', b"", b"\x00\x01", b'{"a": "\xff"}', b"[" * 100_000, b"3", b"9" * 5_000])
def test_what_is_no_json_object_is_named_with_what_to_do(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for read in (read_json, read_json_list):
        with pytest.raises(DataError, match=r"x\.json is broken \(.*; fetch it again$"):
            read(path, ADVICE)


def test_an_object_is_no_list_and_a_list_no_object(path: Path) -> None:
    path.write_text("[{}]")
    with pytest.raises(DataError, match="holds a JSON list, expected an object"):
        read_json(path, ADVICE)
    path.write_text("{}")
    with pytest.raises(DataError, match="holds a JSON dict, expected a list"):
        read_json_list(path, ADVICE)
    path.write_text("[{}, 3]")
    with pytest.raises(DataError, match="holds a JSON int, expected an object"):
        read_json_list(path, ADVICE)


def test_a_missing_file_is_told_from_one_that_cannot_be_read(path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.json is missing; fetch it again$"):
        read_json(path, ADVICE)
    path.mkdir()
    with pytest.raises(DataError, match=r"x\.json is broken \(.*Is a directory"):
        read_json(path, ADVICE)


def test_lines_come_with_their_places(path: Path) -> None:
    path.write_text("".join(json.dumps({"n": n}) + "\n" for n in range(2)))
    assert list(read_json_lines(path, ADVICE)) == [(f"{path}:1", {"n": 0}), (f"{path}:2", {"n": 1})]


@pytest.mark.parametrize("line", [b'{"n": ', b"[1]", b'"\xff"', b""])
def test_a_line_that_is_no_object_is_named(path: Path, line: bytes) -> None:
    path.write_bytes(b'{"n": 0}\n' + line + b"\n")
    with pytest.raises(DataError, match=r"x\.json:2 is broken \(.*; fetch it again$"):
        list(read_json_lines(path, ADVICE))


def test_what_is_written_is_read_back_and_legible(tmp_path: Path) -> None:
    write_json(tmp_path / "value.json", {"dose": "5 µg"})
    assert (tmp_path / "value.json").read_text(encoding="utf-8") == '{\n "dose": "5 µg"\n}\n'
    write_json_lines(tmp_path / "rows.jsonl", [{"dose": "5 µg"}, {"dose": "1 mg"}])
    rows = list(read_json_lines(tmp_path / "rows.jsonl", "write it again"))
    assert rows == [(f"{tmp_path}/rows.jsonl:1", {"dose": "5 µg"}), (f"{tmp_path}/rows.jsonl:2", {"dose": "1 mg"})]
