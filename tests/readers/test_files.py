import gzip
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from med42lib.core.errors import DataError
from med42lib.readers.files import MAX_LINE_BYTES, DataFile, DataFolder, advice, check_expansion
from med42lib.store.artifacts import Source
from med42lib.store.backends.local import LocalStore
from med42lib.store.manifest import describe_folder

Make = Callable[[str, bytes], DataFile]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def write(name: str, content: bytes) -> DataFile:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return DataFile(name, path)

    return write


def test_a_file_is_gzipped_by_its_content_not_by_its_name(make: Make) -> None:
    for file in (make("a.json", gzip.compress(b"one\ntwo")), make("a.json.gz", b"one\ntwo")):
        assert file.read() == b"one\ntwo"
        assert list(file.lines()) == [b"one\n", b"two"]
        assert file.text() == "one\ntwo"


@pytest.mark.parametrize("kept", [1, 2, 11, 40, 99])
def test_a_gzip_that_is_cut_or_damaged_is_refused(make: Make, kept: int) -> None:
    packed = gzip.compress(os.urandom(90), mtime=0)
    if kept == 1:
        assert make("a.gz", packed[:1]).read() == b"\x1f"
        return
    for broken in (packed[:kept], packed[:kept] + b"\xff\xff\xff" + packed[kept + 3 :]):
        with pytest.raises(DataError, match=r"a.gz is a gzipped file that was cut or damaged .*copy it again"):
            make("a.gz", broken).read()


def test_what_stands_before_the_cut_is_read_first(make: Make) -> None:
    packed = gzip.compress(b"".join(b"%d\n" % number for number in range(100_000)))
    lines = make("a.gz", packed[: len(packed) // 2]).lines()
    assert next(lines) == b"0\n"
    with pytest.raises(DataError, match="cut or damaged"):
        list(lines)


def test_a_gzip_of_several_parts_is_read_whole(make: Make) -> None:
    assert make("a.gz", gzip.compress(b"one\n") + gzip.compress(b"two\n")).read() == b"one\ntwo\n"


class TestExpansion:
    @pytest.mark.parametrize("read", [DataFile.read, lambda f: sum(map(len, f.blocks())), lambda f: list(f.lines())])
    def test_a_gzip_that_grows_out_of_all_proportion_is_refused(
        self, make: Make, read: Callable[[DataFile], object]
    ) -> None:
        with pytest.raises(DataError, match=r"a.gz unpacks to more than 200 times its size: .* unpacked"):
            read(make("a.gz", gzip.compress(bytes(70 << 20))))

    def test_it_is_refused_before_it_fills_memory(self, make: Make) -> None:
        file = make("a.gz", gzip.compress(bytes(100 << 20)))
        tracemalloc.start()
        with pytest.raises(DataError):
            for _ in file.blocks():
                pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 << 20

    def test_a_small_file_may_grow_a_thousand_times(self, make: Make) -> None:
        assert len(make("a.gz", gzip.compress(b" " * (4 << 20))).read()) == 4 << 20

    def test_a_large_file_may_grow_as_text_does(self) -> None:
        check_expansion("a.gz", 1 << 30, 20 << 30)
        with pytest.raises(DataError, match="unpacks to more"):
            check_expansion("a.gz", 1 << 30, 201 << 30)


class TestLongLines:
    def test_one_comes_as_its_beginning_and_the_next_is_whole(self, make: Make) -> None:
        first, second = make("a.txt", b"x" * 50_000_000 + b"\nshort\n").lines()
        assert first == b"x" * MAX_LINE_BYTES
        assert second == b"short\n"

    def test_one_that_just_fits_is_not_mistaken_for_its_beginning(self, make: Make) -> None:
        lines = list(make("a.txt", b"x" * (MAX_LINE_BYTES - 1) + b"\nshort").lines())
        assert [len(line) for line in lines] == [MAX_LINE_BYTES, 5]

    def test_it_takes_the_memory_of_one_line_at_most(self, make: Make) -> None:
        file = make("a.txt", b"x" * 50_000_000 + b"\n")
        tracemalloc.start()
        assert [len(line) for line in file.lines()] == [MAX_LINE_BYTES]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 * MAX_LINE_BYTES


def test_a_file_that_is_gone_or_a_folder_is_a_data_error_with_its_path(make: Make, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"a.txt cannot be read: No such file or directory .{tmp_path}"):
        DataFile("a.txt", tmp_path / "a.txt").read()
    with pytest.raises(DataError, match="b cannot be read: Is a directory"):
        list(DataFile("b", tmp_path).lines())


def test_the_beginning_is_found_after_white_space_and_a_byte_order_mark(make: Make) -> None:
    assert make("a.json", b"\xef\xbb\xbf \n\n [1]").starts_with(b"[")
    assert not make("a.json", b'{"a": [1]}').starts_with(b"[")
    assert not make("a.json", b"").starts_with(b"[")


def test_text_that_is_not_utf_8_is_refused_with_the_place_and_what_to_do(make: Make) -> None:
    with pytest.raises(DataError, match=r"a.txt is not UTF-8 text \(byte 3 of 4\): it is binary or was damaged"):
        make("a.txt", b"abc\xff").text()
    assert "iconv" in advice("x".encode("utf-16"))


class TestLinks:
    def test_a_link_out_of_the_folder_is_refused_wherever_it_is(self, make: Make, tmp_path: Path) -> None:
        make("secret.txt", b"x")
        make("data/sub/a.txt", b"x")
        for link, goal in (("a", "../secret.txt"), ("sub/b", "../../secret.txt"), ("c", ".."), ("d", "../gone")):
            path = tmp_path / "data" / link
            path.symlink_to(goal)
            with pytest.raises(DataError, match=f"{path} is a symbolic link to .*, outside .*; copy the file in"):
                DataFolder(Source(str(tmp_path / "data"))).names("")
            path.unlink()

    def test_a_link_inside_the_folder_is_read(self, make: Make, tmp_path: Path) -> None:
        make("a.txt", b"x")
        (tmp_path / "b.txt").symlink_to("a.txt")
        assert DataFolder(Source(str(tmp_path))).file("b.txt").read() == b"x"

    def test_links_in_a_circle_are_refused_and_not_followed(self, make: Make, tmp_path: Path) -> None:
        make("a.txt", b"x")
        (tmp_path / "b").symlink_to("c")
        (tmp_path / "c").symlink_to("b")
        with pytest.raises(DataError, match="is a symbolic link to nothing"):
            DataFolder(Source(str(tmp_path))).names("")


def test_a_file_name_that_is_no_text_is_refused(make: Make, tmp_path: Path) -> None:
    make("a.txt", b"x")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt")).write_bytes(b"x")
    with pytest.raises(DataError, match=r"the file name b'\\xff.txt' is not UTF-8; rename the file"):
        DataFolder(Source(str(tmp_path))).names("")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/b", "a/b"),
        ("./a/b/", "a/b"),
        ("a/b/x.csv", "a/b"),
        ("./a/b/x.csv", "a/b"),
        ("a/b/*.csv", "a/b"),
        ("a/b/x*", "a/b"),
        ("a/**/*.csv", "a"),
        ("*.csv", ""),
        ("top.csv", ""),
        ("", ""),
        (".", ""),
        ("absent", "absent"),
    ],
)
def test_the_folder_of_a_file_a_pattern_or_a_folder(make: Make, tmp_path: Path, path: str, expected: str) -> None:
    make("a/b/x.csv", b"x")
    make("top.csv", b"x")
    assert DataFolder(Source(str(tmp_path))).folder_of(path) == expected


def test_only_what_is_opened_is_fetched(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("data/a/1.csv", "data/a/2.csv", "data/a/big.bin", "data/b/1.csv"):
        make(name, b"x")
    monkeypatch.setattr(LocalStore, "local_path", lambda self, name: None)
    files, cache = describe_folder(tmp_path / "data"), tmp_path / "cache"
    folder = DataFolder(Source(str(tmp_path / "data"), cache=cache, files=files))
    assert [file.path for file in folder.files("a", "*.csv")] == [cache / "a/1.csv", cache / "a/2.csv"]
    with pytest.raises(DataError, match="b is a folder where a file is wanted"):
        folder.file("b")
    assert [entry.path for entry in describe_folder(cache)] == ["a/1.csv", "a/2.csv"]
    assert folder.opened == ["a/1.csv", "a/2.csv"]
