import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from med42lib.core.errors import StoreUnavailable
from med42lib.store import manifest
from med42lib.store.address import open_store
from med42lib.store.artifacts import Source
from med42lib.store.backends import local
from med42lib.store.backends.local import LocalStore
from med42lib.store.backends.s3 import S3Store, make_client
from med42lib.store.base import Store, StoredFile
from med42lib.store.identity import HASHES_FOLDER, HashCache
from tests.store.outputs import filled

CLOCK_STEP_SECONDS = 0.02


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List the files that are read whole."""
    names: list[str] = []
    for kind in (LocalStore, S3Store):
        blocks = kind.blocks

        def counted(self: Store, name: str, blocks: object = blocks) -> Iterator[bytes]:
            names.append(name)
            yield from blocks(self, name)  # type: ignore[operator]

        monkeypatch.setattr(kind, "blocks", counted)
    return names


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give all files an age at which a change of them shows."""
    monkeypatch.setattr(local, "SECONDS_UNTIL_SETTLED", -1.0)


def digest_of(data: str | Path, store: str | Path, scratch: Path) -> str:
    """Name a folder's content as a run on this store does."""
    hashes = HashCache(open_store(str(store)))
    digest = Source(str(data), cache=scratch / "in", hashes=hashes).digest
    hashes.save(scratch)
    return digest


@pytest.mark.usefixtures("settled")
def test_a_folder_that_was_read_before_costs_a_listing(tmp_path: Path, read: list[str]) -> None:
    data = filled(tmp_path / "data", {"a": "1", "deep/b": "2"})
    first = digest_of(data, tmp_path / "store", tmp_path / "one")
    assert sorted(read) == ["a", "deep/b"]
    assert digest_of(data, tmp_path / "store", tmp_path / "two") == first
    assert sorted(read) == ["a", "deep/b"], "nothing was read again"


@pytest.mark.usefixtures("settled")
def test_a_file_that_changed_is_read_again_and_no_other(tmp_path: Path, read: list[str]) -> None:
    data = filled(tmp_path / "data", {"a": "1", "b": "2"})
    first = digest_of(data, tmp_path / "store", tmp_path / "one")
    time.sleep(CLOCK_STEP_SECONDS)
    (data / "a").write_text("9")
    read.clear()
    assert digest_of(data, tmp_path / "store", tmp_path / "two") != first
    assert read == ["a"]


@pytest.mark.usefixtures("settled")
def test_a_file_written_over_with_the_size_and_time_of_the_old_one_is_read_again(tmp_path: Path) -> None:
    data = filled(tmp_path / "data", {"a": "1"})
    stamp = (data / "a").stat().st_mtime_ns
    first = digest_of(data, tmp_path / "store", tmp_path / "one")
    time.sleep(CLOCK_STEP_SECONDS)
    (data / "a").write_text("9")
    os.utime(data / "a", ns=(stamp, stamp))
    assert digest_of(data, tmp_path / "store", tmp_path / "two") != first


@pytest.mark.usefixtures("settled")
def test_a_file_replaced_by_one_of_the_same_size_and_time_is_read_again(tmp_path: Path, read: list[str]) -> None:
    data = filled(tmp_path / "data", {"a": "1"})
    first = digest_of(data, tmp_path / "store", tmp_path / "one")
    filled(tmp_path / "other", {"a": "2"})
    (tmp_path / "other/a").replace(data / "a")
    assert digest_of(data, tmp_path / "store", tmp_path / "two") != first


@pytest.mark.usefixtures("settled")
def test_files_read_before_one_that_cannot_be_are_not_read_again(
    tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = filled(tmp_path / "data", {"a": "1", "b": "2"})
    hashes, blocks = HashCache(open_store(str(tmp_path / "store"))), LocalStore.blocks

    def broken_off(self: LocalStore, name: str) -> Iterator[bytes]:
        if name == "b":
            raise StoreUnavailable("the connection broke")
        yield from blocks(self, name)

    monkeypatch.setattr(manifest, "_FILES_AT_ONCE", 1)
    with monkeypatch.context() as broken:
        broken.setattr(LocalStore, "blocks", broken_off)
        with pytest.raises(StoreUnavailable):
            _ = Source(str(data), hashes=hashes).digest
    hashes.save(tmp_path / "one")
    read.clear()
    digest_of(data, tmp_path / "store", tmp_path / "two")
    assert read == ["b"]


def test_a_file_that_was_just_written_is_not_trusted_to_be_the_same_next_time(tmp_path: Path) -> None:
    data = filled(tmp_path / "data", {"a": "1"})
    stamp = (data / "a").stat().st_mtime_ns
    first = digest_of(data, tmp_path / "store", tmp_path / "one")
    with (data / "a").open("r+") as file:
        file.write("2")
    os.utime(data / "a", ns=(stamp, stamp))
    assert digest_of(data, tmp_path / "store", tmp_path / "two") != first


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"a": 7}', b'{"a": [1, 2]}', b'{"a": [Infinity, "", ""]}', b"[" * 100_000]
)
def test_broken_hashes_are_worth_no_more_than_none(tmp_path: Path, content: bytes) -> None:
    data = filled(tmp_path / "data", {"a": "1"})
    first = digest_of(data, tmp_path / "store", tmp_path / "one")
    [kept] = (tmp_path / "store" / HASHES_FOLDER).iterdir()
    kept.write_bytes(content)
    assert digest_of(data, tmp_path / "store", tmp_path / "two") == first


def test_a_folder_is_named_by_its_content_in_a_bucket_as_here(tmp_path: Path) -> None:
    data = filled(tmp_path / "data", {"a": "1", "deep/b": "2"})
    assert digest_of(data, tmp_path / "store", tmp_path / "one") == Source(str(data)).digest


@pytest.mark.slow
def test_naming_a_folder_in_a_bucket_fetches_no_file_and_reads_each_once(
    bucket: str, tmp_path: Path, read: list[str]
) -> None:
    client = make_client()
    for name, content in {"a": b"1", "deep/b": b"2"}.items():
        client.put_object(Bucket=bucket, Key=f"data/{name}", Body=content)
    here = filled(tmp_path / "here", {"a": "1", "deep/b": "2"})
    data, store = f"s3://{bucket}/data", f"s3://{bucket}/runs"
    first = digest_of(data, store, tmp_path / "one")
    assert first == Source(str(here)).digest
    assert sorted(read)[:2] == ["a", "a"] or "a" in read
    assert not (tmp_path / "one/in").exists(), "nothing was fetched"
    read.clear()
    assert digest_of(data, store, tmp_path / "two") == first
    assert read == [], "the second run asks for the list alone"
    client.put_object(Bucket=bucket, Key="data/a", Body=b"9")
    assert digest_of(data, store, tmp_path / "three") != first
    assert read == ["a"], "an ETag that changed means: read it again"


@pytest.mark.usefixtures("settled")
def test_an_etag_is_never_taken_for_a_hash(tmp_path: Path) -> None:
    data = filled(tmp_path / "data", {"a": "1"})
    digest_of(data, tmp_path / "store", tmp_path / "one")
    [kept] = (tmp_path / "store" / HASHES_FOLDER).iterdir()
    [(_, version, sha256)] = json.loads(kept.read_text()).values()
    assert sha256 not in version
    assert len(sha256) == 64


def test_a_file_that_was_just_written_is_read_again(tmp_path: Path, read: list[str]) -> None:
    data = filled(tmp_path / "data", {"a": "1"})
    first = digest_of(data, tmp_path / "store", tmp_path / "one")
    assert digest_of(data, tmp_path / "store", tmp_path / "two") == first
    assert read == ["a", "a"]


@pytest.mark.parametrize(
    ("folder", "listed"),
    [
        ("there", StoredFile(1, "first")),
        ("here", StoredFile(2, "first")),
        ("here", StoredFile(1, "second")),
    ],
)
def test_a_hash_is_that_of_one_file_of_one_folder_in_one_size_and_version(
    tmp_path: Path, read: list[str], folder: str, listed: StoredFile
) -> None:
    for name, file in (("here", StoredFile(1, "first")), (folder, listed)):
        filled(tmp_path / name, {"a": "1"})
        hashes = HashCache(open_store(str(tmp_path / "store")))
        hashes.entries(open_store(str(tmp_path / name)), {"a": file})
        hashes.save(tmp_path / "scratch")
    assert read == ["a", "a"]
