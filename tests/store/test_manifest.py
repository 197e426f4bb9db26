import json
import signal
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from med42lib.core.errors import DataError
from med42lib.store.manifest import (
    FileEntry,
    Input,
    Manifest,
    describe_file,
    describe_folder,
    files_digest,
    has_content,
    in_threads,
)

A, B = FileEntry("a", 1, "a" * 64), FileEntry("b/c", 2, "b" * 64)


def manifest(files: tuple[FileEntry, ...] = (A, B), seconds: float = 1.0) -> Manifest:
    inputs = {"data": Input("d1", "s3://x")}
    return Manifest("pack", "packed", "k", {"n": 1}, inputs, files, 7, "2026-01-01", seconds)


def test_a_manifest_survives_its_json() -> None:
    assert Manifest.from_json(manifest().to_json(), where="x") == manifest()


def test_the_digest_is_of_the_content_not_of_order_or_times() -> None:
    assert manifest((A, B)).digest == manifest((B, A), seconds=9.0).digest
    assert manifest((A,)).digest != manifest((A, B)).digest


def test_notes_stay_out_of_the_digest() -> None:
    assert files_digest([A, FileEntry("README.md", 5, "xx", note=True)]) == files_digest([A])
    assert files_digest([A, FileEntry("README.md", 5, "xx")]) != files_digest([A])


@pytest.mark.parametrize("other", [{"path": "z"}, {"bytes": 2}, {"sha256": "b" * 64}])
def test_the_digest_is_of_names_sizes_and_contents(other: dict[str, Any]) -> None:
    assert files_digest([replace(A, **other)]) != files_digest([A])


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"digest": "x", "layout": 1, "inputs": 3}', b'{"digest": "\xff"}', '{"a": ' + "[" * 100_000],
    ids=["empty", "list", "bare", "typed", "not UTF-8", "deep"],
)
def test_an_unreadable_manifest_is_named(text: str | bytes) -> None:
    with pytest.raises(DataError, match="here is not a readable manifest"):
        Manifest.from_json(text, where="here")


def test_a_folder_is_described_by_every_file_below_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/x").write_bytes(b"hello")
    (tmp_path / "a").write_bytes(b"")
    entries = describe_folder(tmp_path)
    assert [(e.path, e.bytes) for e in entries] == [("a", 0), ("sub/x", 5)]
    assert entries[1].sha256 == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


def test_the_written_json_states_the_digest() -> None:
    assert json.loads(manifest().to_json())["digest"] == manifest().digest


def changed(**values: object) -> str:
    return json.dumps(json.loads(manifest().to_json()) | values)


def test_a_manifest_whose_digest_is_not_that_of_its_files_is_refused() -> None:
    with pytest.raises(DataError, match=r"here is not a readable manifest .*its digest is not that of the files"):
        Manifest.from_json(changed(digest="0" * 64), where="here")


@pytest.mark.parametrize(
    "entry",
    [
        {"path": "../outside/secret.xml"},
        {"path": "/etc/passwd"},
        {"path": "a/../../b"},
        {"path": "a\\b"},
        {"path": "a\0b"},
        {"path": ""},
        {"path": ["a"]},
        {"path": None},
        {"bytes": "7"},
        {"bytes": -1},
        {"bytes": True},
        {"bytes": 1.5},
        {"sha256": "zz"},
        {"sha256": 7},
        {"sha256": "../../x"},
        {"note": "yes"},
    ],
    ids=str,
)
def test_an_entry_of_a_stranger_that_names_no_file_of_the_output_is_refused(entry: dict[str, object]) -> None:
    forged = {"path": "a", "bytes": 1, "sha256": "a" * 64} | entry
    with pytest.raises(DataError, match=r"here (is not a readable manifest|names the file)"):
        Manifest.from_json(changed(files=[forged]), where="here")


@pytest.mark.parametrize(
    "values",
    [
        {"stage": 5},
        {"stage": ["x"]},
        {"key": None},
        {"target": "../x"},
        {"config": []},
        {"rows": "many"},
        {"rows": True},
        {"seconds": "long"},
        {"seconds": float("nan")},
        {"seconds": float("inf")},
        {"created_at": 5},
        {"created_at": "yesterday"},
        {"versions": 5},
        {"versions": {"torch": 2}},
        {"inputs": {"data": {"digest": 5, "address": "x"}}},
        {"inputs": {"data": {"digest": "x", "address": 5}}},
        {"inputs": {"data": "x"}},
    ],
    ids=str,
)
def test_values_of_a_wrong_type_are_refused_where_they_are_read(values: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"here (is not a readable manifest|names the file)"):
        Manifest.from_json(changed(**values), where="here")


def test_a_setting_or_input_that_another_stages_output_has_not_is_named() -> None:
    assert manifest().setting("n") == 1
    assert manifest().input("data") == Input("d1", "s3://x")
    with pytest.raises(DataError, match=r"made by 'pack' as k, records no setting 'candidate'; check that the address"):
        manifest().setting("candidate")
    with pytest.raises(DataError, match=r"records no input 'base'"):
        manifest().input("base")


def test_a_file_that_is_listed_twice_is_refused() -> None:
    twice = [{"path": "a", "bytes": 1, "sha256": "a" * 64}] * 2
    with pytest.raises(DataError, match="it lists a file twice"):
        Manifest.from_json(changed(files=twice), where="here")


def test_a_number_of_5000_digits_is_told_and_not_a_traceback() -> None:
    with pytest.raises(DataError, match="here is not a readable manifest") as caught:
        Manifest.from_json(manifest().to_json().replace('"rows": 7', f'"rows": {"9" * 5000}'), where="here")
    assert len(str(caught.value)) < 1000


def test_the_content_of_a_hubs_small_file_is_named_as_git_names_it(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"hello\n")
    assert has_content(tmp_path / "f", "git-blob:ce013625030ba8dba906f756967f9e9ca394464a")
    assert has_content(tmp_path / "f", "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03")
    (tmp_path / "f").write_bytes(b"jello\n")
    assert not has_content(tmp_path / "f", "git-blob:ce013625030ba8dba906f756967f9e9ca394464a")
    assert not has_content(tmp_path / "f", "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03")


def test_a_manifest_of_another_layout_is_refused() -> None:
    later = json.dumps({**json.loads(manifest().to_json()), "layout": 99})
    with pytest.raises(DataError, match=r"here is not a readable manifest .*its layout is 99, not 2"):
        Manifest.from_json(later, where="here")


def test_many_files_are_described_in_the_order_of_their_names(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number:02}").write_bytes(bytes(number) * 1000)
    assert [(e.path, e.bytes) for e in describe_folder(tmp_path)] == [(f"{n:02}", 1000 * n) for n in range(50)]


@pytest.mark.parametrize("told", [KeyboardInterrupt, SystemExit])
def test_a_signal_ends_hashing_in_the_middle_of_files(
    told: type[BaseException],
) -> None:
    stops: list[Event] = []

    def endless(name: str, stop: Event) -> FileEntry:
        stops.append(stop)
        assert stop.wait(60)
        return FileEntry(name, 0, "")

    def interrupted(*_: object) -> None:
        raise told

    before = signal.signal(signal.SIGALRM, interrupted)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(told):
            in_threads(endless, ["a", "b"])
    finally:
        signal.signal(signal.SIGALRM, before)
    assert all(stop.is_set() for stop in stops)


def test_an_error_does_not_wait_for_files_that_are_under_way() -> None:
    told = Event()

    def fail_beside_one_that_takes_long(name: str, _: Event) -> None:
        if name == "fails":
            raise DataError("damaged")
        assert told.wait(60)

    with pytest.raises(DataError):
        in_threads(fail_beside_one_that_takes_long, ["takes long", "fails", "takes long too"])
    assert not told.is_set()
    told.set()


def test_a_file_is_left_off_after_a_block_when_hashing_is_to_stop(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(3 << 20))
    stop = Event()
    assert describe_file(tmp_path / "large", "large", stop=stop).bytes == 3 << 20
    stop.set()
    assert describe_file(tmp_path / "large", "large", stop=stop).bytes == 0


def test_a_file_that_cannot_be_read_fails_the_description(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        in_threads(lambda name, stop: describe_file(tmp_path / name, name, stop=stop), ["gone"])


def test_the_files_named_are_notes(tmp_path: Path) -> None:
    for name in ("a", "README.md"):
        (tmp_path / name).write_text(name)
    assert [(e.path, e.note) for e in describe_folder(tmp_path, {"README.md"})] == [("README.md", True), ("a", False)]
