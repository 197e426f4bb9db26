import os
from pathlib import Path, PurePosixPath, PureWindowsPath
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from med42lib.core.errors import DataError
from med42lib.store.names import check_apart, checked_name, inside

LEADING_OUT = [
    "",
    ".",
    "..",
    "/etc/passwd",
    "../x",
    "a/../../x",
    "a//b",
    "a/./b",
    "a/",
    "/",
    "..\\x",
    "a\\..\\b",
    "a\0b",
]
WRONG_TYPES = [None, 7, b"a", ["a"], {"a": 1}, "\udcff"]
names = st.text(st.sampled_from(["a", "b", ".", "/", "\\", "\0", "é", " ", "~", ":", "\n"]), max_size=12) | st.text(
    max_size=20
)


@pytest.mark.parametrize("name", [*LEADING_OUT, *WRONG_TYPES], ids=repr)
def test_a_name_that_leads_out_is_refused_with_the_place_it_stood_in(name: object) -> None:
    with pytest.raises(DataError, match=r"here names the file .* does not stay in its folder"):
        checked_name(name, where="here")


@pytest.mark.parametrize(
    "name", ["a", "a/b.c", "...", "..a/b..", "deep/er/est", ".hidden", "with space", "C:x", "~", "\n"]
)
def test_a_name_that_stays_is_returned_as_it_is(name: str) -> None:
    assert checked_name(name, where="here") == name


@given(names)
@example("a/..")
@example("~/x")
def test_no_name_that_passes_leaves_its_folder_on_any_system(name: str) -> None:
    try:
        checked_name(name, where="here")
    except DataError:
        return
    assert os.path.normpath(f"/folder/{name}") == str(PurePosixPath("/folder", name))
    assert os.path.normpath(f"/folder/{name}").startswith("/folder/")
    assert ".." not in PureWindowsPath(name).parts


@given(names)
def test_what_is_inside_is_below_the_folder(name: str) -> None:
    with TemporaryDirectory() as root:
        try:
            path = inside(Path(root, "folder"), name)
        except DataError:
            return
        assert path == Path(root, "folder") or Path(root, "folder") in path.parents


def test_a_long_name_is_cut_in_the_message() -> None:
    with pytest.raises(DataError) as caught:
        checked_name("../" + "x" * 10_000_000, where="here")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("target", ["secret", "."])
def test_links_that_leave_the_folder_are_refused_whether_to_files_or_folders(tmp_path: Path, target: str) -> None:
    (tmp_path / "secret").write_text("s")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/link").symlink_to(tmp_path / target)
    with pytest.raises(DataError, match=r"link.* is a symbolic link to .*, outside"):
        inside(tmp_path / "folder", "link/secret" if target == "." else "link")


def test_links_within_the_folder_and_in_circles_do_not_leave_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "circle").symlink_to("circle")
    assert inside(tmp_path, "link") == tmp_path / "link"
    assert inside(tmp_path, "circle") == tmp_path / "circle"


def test_a_name_of_a_file_and_a_folder_is_told_before_either_is_fetched() -> None:
    check_apart(["a", "a.b/c", "ab/a"], where="here")
    with pytest.raises(DataError, match=r"here names 'x/a' as a file and as a folder; rename or remove one of them"):
        check_apart(["x/a", "x/a.b", "x/a/b/c"], where="here")
