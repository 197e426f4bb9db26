from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from med42lib.core.errors import DataError
from med42lib.core.excerpts import QUOTE_VARIABLE
from med42lib.formats.rejects import BadRecord, ExcludedRecord, Reject
from med42lib.readers.fields import NAN
from med42lib.readers.files import DataFile, DataFolder
from med42lib.readers.parsers import (
    Record,
    csv_records,
    csv_rows,
    each,
    json_document,
    json_lines,
    xml_root,
)
from med42lib.store.artifacts import Source

Make = Callable[[str, str | bytes], DataFile]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def write(name: str, content: str | bytes) -> DataFile:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return DataFile(name, path)

    return write


def shapes(stream: Any) -> list[Any]:
    return [(r.line, r.reason if isinstance(r, Reject) else r.value) for r in stream]


class TestDataFolder:
    def test_it_opens_files_by_name_and_remembers_them(self, make: Make, tmp_path: Path) -> None:
        make("b/2.xml", "<b/>")
        make("b/1.xml", "<a/>")
        make("b/readme.txt", "")
        make("a.json", "{}")
        folder = DataFolder(Source(str(tmp_path)))
        assert folder.file("./a.json").text() == "{}"
        assert [file.name for file in folder.files("b/", "*.xml")] == ["b/1.xml", "b/2.xml"]
        assert folder.opened == ["a.json", "b/1.xml", "b/2.xml"]
        assert [file.text() for file in folder.files("", "*.json")] == ["{}"]

    def test_a_missing_file_fails_with_those_there_are(self, make: Make, tmp_path: Path) -> None:
        make("a.json", "{}")
        folder = DataFolder(Source(str(tmp_path)))
        assert folder.has("a.json")
        assert not folder.has("b.json")
        with pytest.raises(DataError, match=r"has no 'b.json'; it has a.json"):
            folder.file("b.json")

    def test_a_folder_is_not_a_file_and_a_file_is_not_a_folder(self, make: Make, tmp_path: Path) -> None:
        make("b/1.xml", "<a/>")
        folder = DataFolder(Source(str(tmp_path)))
        with pytest.raises(DataError, match="is a folder where a file is wanted"):
            folder.file("b")
        with pytest.raises(DataError, match=r"b/1.xml has no files \*.xml; check the path \(it must be a folder"):
            folder.files("b/1.xml", "*.xml")

    def test_a_path_out_of_the_folder_is_refused(self, make: Make, tmp_path: Path) -> None:
        make("secret.json", "{}")
        make("data/a.json", "{}")
        with pytest.raises(DataError, match="has no"):
            DataFolder(Source(str(tmp_path / "data"))).file("../secret.json")


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        ('{"a": "é"}'.encode("utf-16"), "UTF-16"),
        (b"\x1f\x8b\x08\x00\xff", "cut or damaged"),
        (b"PK\x03\x04\xff", "zip archive"),
        (b"\x89PNG\x00\xff\xfe\n\x00", "binary or was damaged"),
    ],
)
@pytest.mark.parametrize("read", [json_document, lambda f: list(json_lines(f)), lambda f: list(csv_rows(f))], ids="jlc")
def test_what_is_not_text_is_refused_whole_with_advice(make: Make, read: Any, content: bytes, advice: str) -> None:
    with pytest.raises(DataError, match=advice) as error:
        read(make("x.json", content))
    assert "x.json" in str(error.value)


@pytest.mark.parametrize("read", [json_document, lambda f: list(json_lines(f))], ids=["document", "lines"])
def test_a_file_that_cannot_be_read_is_a_data_error(tmp_path: Path, read: Any) -> None:
    with pytest.raises(DataError, match=r"gone.json cannot be read: No such file"):
        read(DataFile("gone.json", tmp_path / "gone.json"))


class TestJsonDocument:
    def test_it_reads_with_or_without_a_byte_order_mark(self, make: Make) -> None:
        assert json_document(make("a.json", '{"a": [1]}')) == {"a": [1]}
        assert json_document(make("b.json", b"\xef\xbb\xbf{}")) == {}

    @pytest.mark.parametrize("kept", [0, 5, 12, 20])
    def test_one_cut_in_the_middle_fails_with_the_position(self, make: Make, kept: int) -> None:
        with pytest.raises(DataError, match=r"a.json is not a whole JSON document: .* line \d column \d"):
            json_document(make("a.json", '{"a": 1,\n "b": "text"}'[:kept]))

    def test_a_key_that_stands_twice_fails_since_a_value_would_be_lost(self, make: Make) -> None:
        with pytest.raises(DataError, match="the key '123' stands twice"):
            json_document(make("a.json", '{"123": "yes", "123": "no"}'))

    @pytest.mark.parametrize("text", ['{"a": 1}\n{"a": 2}\n', "\n[1]\n\n[2]", '{}\r\n{"cut'])
    def test_json_lines_are_told_from_a_document_that_was_cut(self, make: Make, text: str) -> None:
        with pytest.raises(
            DataError, match=r"a.json is JSON lines, .* but expected is a task; .*`layout: huggingface`"
        ):
            json_document(make("a.json", text), expected="a task")

    def test_nesting_too_deep_and_numbers_too_long_fail_cleanly(self, make: Make) -> None:
        for text in ("[" * 100_000, "1" * 5_000):
            with pytest.raises(DataError, match="not a whole JSON document"):
                json_document(make("a.json", text))


class TestJsonLines:
    def test_a_broken_line_is_a_reject_and_the_rest_goes_on(self, make: Make) -> None:
        lines = b'\xef\xbb\xbf{"n": 1}\n\n{"n": 2, "t\n{"n": "\xff"}\r\n[3]\n{"n": 4'
        assert shapes(json_lines(make("a.jsonl", lines))) == [
            (1, {"n": 1}),
            (3, "the line is not valid JSON"),
            (4, "the line is not UTF-8 text"),
            (5, [3]),
            (6, "the line is not valid JSON"),
        ]

    def test_nan_is_told_from_what_is_not_json_at_all(self, make: Make) -> None:
        lines = '{"n": [NaN]}\n{"n": NaN\n{"n": "NaN"}\n{"n": "NaN", "m": \n'
        assert shapes(json_lines(make("a.jsonl", lines))) == [
            (1, NAN),
            (2, "the line is not valid JSON"),
            (3, {"n": "NaN"}),
            (4, "the line is not valid JSON"),
        ]

    @pytest.mark.parametrize("text", ['[\n {"n": 1}\n]', '{\n "n": 1\n}'])
    def test_a_document_over_several_lines_is_refused_as_such(self, make: Make, text: str) -> None:
        with pytest.raises(DataError, match=r"a.jsonl is one JSON document over several lines, .*jq -c"):
            list(json_lines(make("a.jsonl", text)))

    def test_a_line_separator_inside_a_text_does_not_end_the_line(self, make: Make) -> None:
        assert shapes(json_lines(make("a.jsonl", '{"t": "a\u2028b"}\n'))) == [(1, {"t": "a\u2028b"})]

    def test_a_reject_shows_the_line(self, make: Make) -> None:
        (reject,) = json_lines(make("a.jsonl", b'{"n": "\xe9"}'))
        assert isinstance(reject, Reject)
        assert (reject.file, reject.record) == ("a.jsonl", '{"n": "\\xe9"}')


class TestCsv:
    def test_a_record_stands_at_the_first_line_of_its_row(self, make: Make) -> None:
        rows = csv_rows(make("a.csv", 'a,b\r\n"two\nlines",x\r\n\r\nc,d\r\n'))
        assert shapes(rows) == [(1, ["a", "b"]), (2, ["two\nlines", "x"]), (5, ["c", "d"])]

    def test_all_three_line_ends_are_read(self, make: Make) -> None:
        rows = csv_rows(make("a.csv", b'\xef\xbb\xbfa,b\rc,d\r\n"e\rf",g\nh,i'))
        assert shapes(rows) == [(1, ["a", "b"]), (2, ["c", "d"]), (3, ["e\rf", "g"]), (5, ["h", "i"])]

    def test_a_large_file_is_read_row_by_row_up_to_what_is_not_text(self, make: Make) -> None:
        rows = csv_rows(make("a.csv", b"a,b\n" * 50_000 + b"\xff"))
        assert isinstance(next(rows), Record)
        with pytest.raises(DataError, match=r"a.csv is not UTF-8 text \(byte 200,000\): it is binary or was damaged"):
            list(rows)

    def test_a_stray_quote_in_a_row_is_a_reject_and_the_rest_goes_on(self, make: Make) -> None:
        rows = csv_rows(make("a.csv", 'a,b\n"x"y,c\nd,e\n'))
        assert shapes(rows) == [(1, ["a", "b"]), (2, "the row is not valid CSV"), (3, ["d", "e"])]

    def test_a_stray_quote_does_not_swallow_the_rows_up_to_the_next_quote(self, make: Make) -> None:
        rows = csv_rows(make("a.csv", 'a,b\n1,"x\n2,y\n3,"z, ""w"""\n4,v\n'))
        reject = (2, "the row is not valid CSV")
        assert shapes(rows) == [(1, ["a", "b"]), reject, (3, ["2", "y"]), (4, ["3", 'z, "w"']), (5, ["4", "v"])]

    def test_a_stray_quote_does_not_swallow_a_large_file(self, make: Make) -> None:
        text = "\n".join(["a,b", '1,"x', *(f"{n},y" for n in range(5000))])
        for long in ("", "z" * 200):
            _, broken, *others = csv_rows(make("a.csv", text.replace("y", f"y{long}")))
            assert isinstance(broken, Reject)
            assert (broken.line, broken.record) == (2, '1,"x\n')
            assert [others[0].line, others[-1].line, len(others)] == [3, 5002, 5000]

    @pytest.mark.parametrize("line", ["Day 1: stable, afebrile\n", "Day 1: stable, afebrile, " * 200 + "\n"])
    def test_a_text_of_many_lines_is_one_row(self, make: Make, line: str) -> None:
        rows = csv_rows(make("a.csv", f'"{line * 1500}",b\nc,d\n'))
        assert shapes(rows) == [(1, [line * 1500, "b"]), (1502, ["c", "d"])]

    def test_a_long_text_without_line_ends_is_one_row(self, make: Make) -> None:
        text = "stable, afebrile " * 50_000
        assert shapes(csv_rows(make("a.csv", f'"{text}",b\nc,d\n'))) == [(1, [text, "b"]), (2, ["c", "d"])]

    def test_a_line_that_is_too_long_is_a_reject_wherever_its_cells_end(self, make: Make) -> None:
        cells = ",".join(["x" * 1000] * 17_000)
        rows = csv_rows(make("a.csv", f"a,b\n{cells}\nc,d\n"))
        assert shapes(rows) == [(1, ["a", "b"]), (2, "the row is not valid CSV"), (3, ["c", "d"])]

    def test_a_stray_quote_does_not_swallow_a_file_larger_than_a_row_may_be(self, make: Make) -> None:
        rows = list(csv_rows(make("a.csv", '1,"x\n' + f"2,{'y' * 1000}\n" * 20_000 + '3,"z"\n')))
        assert isinstance(rows[0], Reject)
        assert (len(rows), shapes(rows[-1:])) == (20_002, [(20_002, ["3", "z"])])

    def test_a_large_file_whose_lines_end_in_carriage_returns_alone_fails(self, make: Make) -> None:
        with pytest.raises(DataError, match=r"a.csv has more than 16,777,216 bytes without a line feed, .* `tr"):
            list(csv_rows(make("a.csv", f"1,{'y' * 1000}\r" * 20_000)))

    def test_a_quote_that_is_never_closed_fails_since_it_swallows_the_rest(self, make: Make) -> None:
        with pytest.raises(DataError, match=r"a.csv:2: a quote in this row is never closed"):
            list(csv_rows(make("a.csv", 'a,b\n"c,d\ne,f\ng,h\n')))

    def test_records_are_named_by_the_header_and_a_row_of_another_length_is_a_reject(self, make: Make) -> None:
        records = csv_records(make("a.csv", "label,text\n1,x\n2\n3,y,z\n4,w\n"), ["text"])
        assert shapes(records) == [
            (2, {"label": "1", "text": "x"}),
            (3, "the row has another number of cells than the header"),
            (4, "the row has another number of cells than the header"),
            (5, {"label": "4", "text": "w"}),
        ]

    @pytest.mark.parametrize("text", ["", "label,sentences\n1,x\n"])
    def test_a_missing_column_fails(self, make: Make, text: str) -> None:
        with pytest.raises(DataError, match=r"a.csv has no column sentence"):
            csv_records(make("a.csv", text), ["label", "sentence"] if text else ["sentence"])

    @pytest.mark.parametrize(
        ("columns", "header"), [(["question"], "{note},no"), ([], "{note},{note}"), ([], '"{note}; {note}"')]
    )
    def test_of_a_file_without_a_header_an_error_shows_the_beginning_of_a_cell_or_none(
        self, make: Make, monkeypatch: pytest.MonkeyPatch, columns: list[str], header: str
    ) -> None:
        file = make("a.csv", header.format(note="Mrs Smith is HIV positive" + " and well" * 100) + "\n1,2\n")
        with pytest.raises(DataError, match="Mrs Smith") as caught:
            csv_records(file, columns)
        assert len(str(caught.value)) < 400
        monkeypatch.setenv(QUOTE_VARIABLE, "0")
        with pytest.raises(DataError, match="…") as caught:
            csv_records(file, columns)
        assert "Smith" not in str(caught.value)

    @pytest.mark.parametrize("header", ["question;A;B;answer", "question\tA\tB\tanswer", '"question";"A";"B"'])
    def test_a_header_with_semicolons_or_tabs_fails_and_says_commas(self, make: Make, header: str) -> None:
        with pytest.raises(
            DataError, match=r"a.csv: its header is one field, '.*question.*; write the file with commas"
        ):
            csv_records(make("a.csv", f"{header}\nx\n"), ["question"])

    def test_text_as_western_excel_saves_it_fails_and_says_how_to_save_it(self, make: Make) -> None:
        rows = csv_rows(make("a.csv", "frage,antwort\nFieber über 39?,ja\n".encode("cp1252")))
        with pytest.raises(DataError, match=r"a.csv is not UTF-8 .*`CSV UTF-8`, or with `iconv -f WINDOWS-1252"):
            list(rows)


class TestXml:
    def test_a_broken_tag_is_a_bad_record_with_line_and_column(self, make: Make) -> None:
        with pytest.raises(BadRecord, match="mismatched tag: line 2, column 6"):
            xml_root(make("a.xml", "<a>\n <b></c></a>"))

    @pytest.mark.parametrize("content", [b"", b"\x00\x01", b'<?xml version="1.0" encoding="nonsense"?><a/>'])
    def test_what_is_not_xml_is_a_bad_record(self, make: Make, content: bytes) -> None:
        with pytest.raises(BadRecord, match="not well-formed XML"):
            xml_root(make("a.xml", content))

    def test_a_document_type_is_refused_before_its_entities_can_grow(self, make: Make) -> None:
        bomb = '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]><a>&y;</a>'
        with pytest.raises(BadRecord, match="declares a document type"):
            xml_root(make("a.xml", bomb))

    def test_utf_16_that_says_so_is_read(self, make: Make) -> None:
        text = '<?xml version="1.0" encoding="UTF-16"?><a>é</a>'
        assert xml_root(make("a.xml", text.encode("utf-16"))).text == "é"


@pytest.mark.parametrize("depth", [900, 1000, 1023])
def test_a_record_nested_too_deeply_is_a_reject(make: Make, depth: int) -> None:
    def build(value: Any) -> str:
        raise BadRecord("not text", repr(value))

    (reject,) = each(json_lines(make("a.jsonl", "[" * depth + "]" * depth)), build)
    assert isinstance(reject, Reject)
    assert reject.reason in ("not text", "the record is nested too deeply")


def test_each_builds_what_it_can_and_passes_on_every_reject() -> None:
    def build(value: int) -> str:
        if value == 2:
            raise BadRecord("two", "n = 2")
        if value == 3:
            raise ExcludedRecord("three")
        return str(value)

    earlier = BadRecord("earlier").at("a", 1, "")
    stream = [earlier, Record("a", 2, 1), Record("a", 3, 2), Record("a", 4, 3)]
    assert list(each(stream, build)) == [
        earlier,
        Record("a", 2, "1"),
        Reject("a", 3, "rejected", "two", "n = 2", "2"),
        Reject("a", 4, "excluded", "three", "", "3"),
    ]
