import errno
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from med42lib.core.errors import DataError, NoSpaceError, StoreError
from med42lib.store.address import open_store
from med42lib.store.backends import local as module
from med42lib.store.backends.local import LocalStore
from med42lib.store.disk import write_errors
from tests.store.outputs import filled


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    opened = open_store(str(tmp_path / "store"))
    assert isinstance(opened, LocalStore)
    opened.check()
    return opened


def test_a_file_is_put_whole_and_moved_from_where_it_was(store: LocalStore, tmp_path: Path) -> None:
    filled(tmp_path / "new", {"data": "x"})
    store.put("pack/k/data", tmp_path / "new/data")
    assert list(store.files("pack/k")) == ["pack/k/data"]
    assert store.read("pack/k/data") == b"x"
    assert not (tmp_path / "new/data").exists()


@pytest.mark.parametrize("from_another_disk", [False, True])
def test_what_is_put_is_on_the_disk_before_anything_can_say_so(
    from_another_disk: bool, store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, synced = os.fsync, []

    def watched(file: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{file}")).relative_to(tmp_path).as_posix())
        sync(file)

    def refuse_to_leave_its_disk(path: Path, final: Path) -> None:
        if "new" in path.parts:
            raise OSError(errno.EXDEV, "another disk")
        path.rename(final)

    monkeypatch.setattr(os, "fsync", watched)
    if from_another_disk:
        monkeypatch.setattr(Path, "replace", refuse_to_leave_its_disk)
    store.put("pack/k/data", filled(tmp_path / "new", {"data": "x"}) / "data")
    assert synced == ["store/pack/k/data"]
    assert store.read("pack/k/data") == b"x"


def test_of_several_that_put_a_file_once_one_is_told_that_it_did(store: LocalStore) -> None:
    with ThreadPoolExecutor(8) as threads:
        done = list(threads.map(lambda number: store.put_once("a/seal", b"%d" % number), range(50)))
    assert sum(done) == 1
    assert store.read("a/seal") == b"%d" % done.index(True)
    assert list(store.files()) == ["a/seal"], "what the losers wrote is gone"


def test_a_folder_that_goes_while_a_file_is_put_once_is_made_again(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, gone = os.link, []

    def link_after_somebody_removed_the_folder(own: Path, final: Path) -> None:
        if not gone:
            gone.append(shutil.rmtree(final.parent))
        link(own, final)

    monkeypatch.setattr(os, "link", link_after_somebody_removed_the_folder)
    assert store.put_once("checkpoints/8/manifest.json", b"x")
    assert list(store.files()) == ["checkpoints/8/manifest.json"]


def test_a_file_system_without_hard_links_lets_one_put_too(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", no_links)
    assert [store.put_once("a/seal", text) for text in (b"1", b"2")] == [True, False]
    assert store.read("a/seal") == b"1"


def test_a_file_and_a_folder_are_deleted_and_what_is_not_there_is_no_error(store: LocalStore, tmp_path: Path) -> None:
    for name in ("a/b/c", "a/d"):
        store.put(name, filled(tmp_path, {"f": "x"}) / "f")
    for name in ("a/b", "a/b", "a/d", "nothing"):
        store.delete(name)
    assert store.files() == {}


def test_a_folder_that_nobody_can_make_is_named_with_what_to_do() -> None:
    with pytest.raises(StoreError, match=r"cannot write /proc/med42/runs: .*; choose a --store you may write to"):
        LocalStore("/proc/med42/runs", Path("/proc/med42/runs")).check()


def test_a_folder_that_cannot_be_removed_is_told(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("a/x", filled(tmp_path, {"f": "x"}) / "f")

    def refused(path: str, **_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr("os.unlink", refused)
    with pytest.raises(StoreError, match="Permission denied"):
        store.delete("a")


LEADING_OUT = ["../x", "/etc/passwd", "a/../../x", "a\\..\\x"]


@pytest.mark.parametrize("name", LEADING_OUT)
def test_no_name_reads_writes_or_deletes_outside_the_store(store: LocalStore, tmp_path: Path, name: str) -> None:
    (tmp_path / "x").write_text("secret")
    (tmp_path / "mine").write_text("mine")
    does: list[Callable[[], object]] = [
        lambda: store.read(name),
        lambda: list(store.blocks(name)),
        lambda: store.local_path(name),
        lambda: store.files(name),
        lambda: store.fetch(name, tmp_path / "copy"),
        lambda: store.put(name, tmp_path / "mine"),
        lambda: store.put_once(name, b"mine"),
        lambda: store.delete(name),
    ]
    for do in does:
        with pytest.raises(DataError, match="does not stay in its folder"):
            do()
    assert (tmp_path / "x").read_text() == "secret"


def test_a_snapshot_of_a_hubs_cache_is_read_through_its_links_into_blobs(tmp_path: Path) -> None:
    cache = tmp_path / "hub/models--lab--tiny"
    filled(cache / "blobs", {"abc": "weights", "def": "{}"})
    snapshot = cache / "snapshots/0123456789abcdef0123456789abcdef01234567"
    (snapshot / "deep").mkdir(parents=True)
    (snapshot / "config.json").symlink_to("../../blobs/def")
    (snapshot / "deep/weights").symlink_to("../../../blobs/abc")
    store = open_store(str(snapshot))
    assert {name: file.bytes for name, file in store.files().items()} == {"config.json": 2, "deep/weights": 7}
    assert store.read("deep/weights") == b"weights"
    (tmp_path / "hub/secret").write_text("s")
    (snapshot / "link").symlink_to("../../../secret")
    with pytest.raises(DataError, match=r"link is a symbolic link to .*secret, outside"):
        store.files()


def test_a_users_own_folder_may_not_link_into_blobs_beside_it(tmp_path: Path) -> None:
    filled(tmp_path / "blobs", {"abc": "weights"})
    (tmp_path / "snapshots/x").mkdir(parents=True)
    (tmp_path / "snapshots/x/weights").symlink_to("../../blobs/abc")
    with pytest.raises(DataError, match="outside"):
        open_store(str(tmp_path / "snapshots/x")).files()


def test_a_file_is_no_address_and_the_message_says_what_is(tmp_path: Path) -> None:
    (tmp_path / "base.gguf").write_text("x")
    with pytest.raises(DataError, match=r"base\.gguf is a file; give the address of the folder that holds it"):
        open_store(str(tmp_path / "base.gguf")).files()


def test_a_version_follows_each_change_and_is_settled_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = filled(tmp_path, {"f": "one"}) / "f"
    store = open_store(str(tmp_path))
    os.utime(path, (1e9, 1e9))
    first = store.files()["f"]
    assert not first.settled, "another change may follow within the clock's step"
    time.sleep(0.02)
    path.write_text("two")
    os.utime(path, (1e9, 1e9))
    monkeypatch.setattr(module, "SECONDS_UNTIL_SETTLED", 0.0)
    second = store.files()["f"]
    assert second.settled
    assert first.version != second.version


def test_a_link_to_nothing_is_refused_and_not_left_out(tmp_path: Path) -> None:
    filled(tmp_path, {"f": "x"})
    for target in ("not/fetched", "g"):
        (tmp_path / "g").unlink(missing_ok=True)
        (tmp_path / "g").symlink_to(target)
        with pytest.raises(DataError, match=r"g is a symbolic link to nothing; fetch the file or remove the link"):
            open_store(str(tmp_path)).files()


def test_what_the_system_does_not_give_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").mkdir()
    (tmp_path / "circle").symlink_to("circle")
    does: list[Callable[[], object]] = [
        lambda: open_store(str(tmp_path)).read("manifest.json"),
        lambda: list(open_store(str(tmp_path)).blocks("manifest.json")),
        lambda: open_store(str(tmp_path / "circle")).read("x"),
        lambda: open_store(str(tmp_path / ("n" * 300))).files(),
    ]
    for do in does:
        with pytest.raises(DataError, match=r"cannot be read: .*; check the address and permissions"):
            do()


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_what_another_user_keeps_to_himself_is_an_error_that_names_it(tmp_path: Path) -> None:
    folder = filled(tmp_path / "data", {"deep/f": "x"})
    (folder / "deep").chmod(0o700)
    os.seteuid(65534)
    try:
        for do in (open_store(str(folder)).files, lambda: open_store(str(folder)).read("deep/f")):
            with pytest.raises(DataError, match=r"cannot be read: Permission denied; check the address and perm"):
                do()
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("number", [errno.ENAMETOOLONG, errno.ELOOP, errno.EIO, errno.ENOLCK])
def test_a_place_that_cannot_be_written_is_named(number: int) -> None:
    with pytest.raises(StoreError, match=r"cannot write /x: .*; choose a --store"), write_errors("/x"):
        raise OSError(number, os.strerror(number))


def test_reading_what_is_not_there_gives_none(store: LocalStore) -> None:
    assert store.read("nothing/here") is None


def test_listing_what_is_not_there_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing does not exist; check the address"):
        open_store(str(tmp_path / "missing")).files()


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "secret").write_text("s")
    (tmp_path / "data" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(DataError, match=r"link is a symbolic link to .*secret, outside"):
        open_store(str(tmp_path / "data")).files()


def test_a_store_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot write"):
        open_store(str(tmp_path / "file" / "store")).check()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_with_what_to_do(number: int) -> None:
    with pytest.raises(NoSpaceError, match=r"no space left while writing /x; free some space"), write_errors("/x"):
        raise OSError(number, os.strerror(number))


def test_other_errors_of_the_system_pass_through() -> None:
    with pytest.raises(ConnectionResetError), write_errors("/x"):
        raise ConnectionResetError(errno.ECONNRESET, "reset")


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_really_full_file_system_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)], check=False)
    if mounted.returncode != 0:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        store = open_store(str(mount / "store"))
        store.check()
        with pytest.raises(NoSpaceError), write_errors(mount):
            (mount / "big").write_bytes(b"x" * 200_000)
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_compiled_python_files_are_no_content(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/x.cpython-311.pyc").write_bytes(b"x")
    (tmp_path / "x.py").write_text("")
    assert list(open_store(str(tmp_path)).files()) == ["x.py"]


def test_sizes_are_those_of_all_files(tmp_path: Path) -> None:
    filled(tmp_path, {"sub/b": bytes(7), "a": b""})
    assert {name: file.bytes for name, file in open_store(str(tmp_path)).files().items()} == {"a": 0, "sub/b": 7}
