import json
import signal
from pathlib import Path
from threading import Event

import pytest

from med42lib.core.errors import DataError
from med42lib.store import manifest as module
from med42lib.store.manifest import (
    METRICS_FILE,
    FileEntry,
    Input,
    Manifest,
    describe_file,
    describe_files,
    describe_folder,
    files_digest,
)

A, B = FileEntry("a", 1, "aa"), FileEntry("b/c", 2, "bb")


def manifest(files: tuple[FileEntry, ...] = (A, B), seconds: float = 1.0) -> Manifest:
    inputs = {"data": Input("d1", "s3://x")}
    return Manifest("pack", "packed", "k", {"n": 1}, inputs, files, 7, "2026-01-01", seconds)


def test_a_manifest_survives_its_json() -> None:
    assert Manifest.from_json(manifest().to_json(), where="x") == manifest()


def test_the_digest_is_of_the_content_not_of_order_or_times() -> None:
    assert manifest((A, B)).digest == manifest((B, A), seconds=9.0).digest
    assert manifest((A,)).digest != manifest((A, B)).digest


def test_metrics_hold_times_and_stay_out_of_the_digest() -> None:
    assert files_digest([A, FileEntry(METRICS_FILE, 5, "xx")]) == files_digest([A])


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
    assert manifest().total_bytes == 3


def test_a_manifest_of_another_layout_is_refused() -> None:
    later = json.dumps({**json.loads(manifest().to_json()), "layout": 99})
    with pytest.raises(DataError, match=r"here is not a readable manifest .*its layout is 99, not 1"):
        Manifest.from_json(later, where="here")


def test_many_files_are_described_in_the_order_of_their_names(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number:02}").write_bytes(bytes(number) * 1000)
    assert [(e.path, e.bytes) for e in describe_folder(tmp_path)] == [(f"{n:02}", 1000 * n) for n in range(50)]


@pytest.mark.parametrize("told", [KeyboardInterrupt, SystemExit])
def test_a_signal_ends_hashing_in_the_middle_of_files(
    tmp_path: Path, told: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    stops: list[Event] = []

    def endless(path: Path, name: str, *, stop: Event) -> FileEntry:
        stops.append(stop)
        assert stop.wait(60)
        return FileEntry(name, 0, "")

    def interrupted(*_: object) -> None:
        raise told

    monkeypatch.setattr(module, "describe_file", endless)
    before = signal.signal(signal.SIGALRM, interrupted)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(told):
            describe_files({"a": tmp_path, "b": tmp_path})
    finally:
        signal.signal(signal.SIGALRM, before)
    assert all(stop.is_set() for stop in stops)


def test_a_file_is_left_off_after_a_block_when_hashing_is_to_stop(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(3 << 20))
    stop = Event()
    assert describe_file(tmp_path / "large", "large", stop=stop).bytes == 3 << 20
    stop.set()
    assert describe_file(tmp_path / "large", "large", stop=stop).bytes == 0


def test_a_file_that_cannot_be_read_fails_the_description(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        describe_files({"here": Path(__file__), "gone": tmp_path / "gone"})
