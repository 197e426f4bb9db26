import errno
import os
import subprocess
from pathlib import Path

import pytest

from med42lib.core.errors import DataError, NoSpaceError, StoreError
from med42lib.store.manifest import describe_folder
from med42lib.store.store import LocalStore, join_address, open_store, writing


def prepared(folder: Path, text: str = "x") -> Path:
    folder.mkdir(parents=True)
    (folder / "data").write_text(text)
    return folder


def publish(store: LocalStore, folder: Path, prefix: str = "pack/k/packed") -> None:
    store.publish(prefix, folder, describe_folder(folder), '{"m": 1}')


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    opened = open_store(str(tmp_path / "store"))
    assert isinstance(opened, LocalStore)
    opened.check()
    return opened


def test_a_published_folder_is_there_whole_with_its_manifest(store: LocalStore, tmp_path: Path) -> None:
    publish(store, prepared(tmp_path / "new"))
    assert store.names("pack/k") == ["pack/k/packed/data", "pack/k/packed/manifest.json"]
    assert store.read("pack/k/packed/manifest.json") == b'{"m": 1}'


def test_a_complete_output_stays_when_a_second_arrives(store: LocalStore, tmp_path: Path) -> None:
    publish(store, prepared(tmp_path / "first", "1"))
    publish(store, prepared(tmp_path / "second", "2"))
    assert store.read("pack/k/packed/data") == b"1"
    assert not (tmp_path / "second").exists()


def test_a_half_written_output_without_manifest_is_replaced(store: LocalStore, tmp_path: Path) -> None:
    half = store.local_path("pack/k/packed")
    prepared(half, "half")
    publish(store, prepared(tmp_path / "whole", "whole"))
    assert store.read("pack/k/packed/data") == b"whole"


def test_reading_what_is_not_there_gives_none(store: LocalStore) -> None:
    assert store.read("nothing/here") is None


def test_listing_what_is_not_there_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing does not exist; check the address"):
        open_store(str(tmp_path / "missing")).names()


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "secret").write_text("s")
    (tmp_path / "data" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(DataError, match=r"link is a symbolic link to .*secret, outside"):
        open_store(str(tmp_path / "data")).names()


def test_a_package_address_reads_what_an_installed_package_carries() -> None:
    assert "__init__.py" in open_store("package:med42lib/core").names()[0]


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(DataError, match=r"package 'no_such_thing' is not installed"):
        open_store("package:no_such_thing/x")


def test_an_unknown_scheme_lists_the_known_ones() -> None:
    with pytest.raises(StoreError, match=r"gs://b.*s3://bucket/prefix"):
        open_store("gs://b/p")


def test_a_file_address_is_a_folder() -> None:
    assert open_store("file:///data/x").local_path("y") == Path("/data/x/y")


def test_addresses_join_with_one_slash() -> None:
    assert join_address("s3://b/p/", "pack", "k") == "s3://b/p/pack/k"


def test_a_store_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot write"):
        open_store(str(tmp_path / "file" / "store")).check()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_with_what_to_do(number: int) -> None:
    with pytest.raises(NoSpaceError, match=r"no space left while writing /x; free some space"), writing("/x"):
        raise OSError(number, os.strerror(number))


def test_other_errors_of_the_system_pass_through() -> None:
    with pytest.raises(ConnectionResetError), writing("/x"):
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
        with pytest.raises(NoSpaceError), writing(mount):
            (mount / "big").write_bytes(b"x" * 200_000)
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_compiled_python_files_are_no_content(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/x.cpython-311.pyc").write_bytes(b"x")
    (tmp_path / "x.py").write_text("")
    assert open_store(str(tmp_path)).names() == ["x.py"]


@pytest.mark.parametrize("address", ["", " ", "file://"])
def test_an_empty_address_is_not_taken_for_the_working_directory(address: str) -> None:
    with pytest.raises(StoreError, match=r"cannot open '.*': an address is a folder"):
        open_store(address)


@pytest.mark.parametrize("package", ["no_such_thing.sub", "med42lib.no_such_thing", "med42lib.cli.sub", ""])
def test_a_package_is_named_whatever_of_it_is_not_there(package: str) -> None:
    with pytest.raises(DataError, match=f"package '{package}' is not installed"):
        open_store(f"package:{package}/x")


def test_sizes_are_those_of_all_files(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/b").write_bytes(bytes(7))
    (tmp_path / "a").write_bytes(b"")
    assert open_store(str(tmp_path)).sizes() == {"a": 0, "sub/b": 7}
