import pickle
import time
from pathlib import Path

import pytest

from med42lib.core.errors import AccessError, DataError
from med42lib.store import cache as store_cache
from med42lib.store.address import open_store
from med42lib.store.backends.local import LocalStore
from med42lib.store.backends.s3 import make_client
from med42lib.store.cache import CACHE_FOLDER, StageCache


def cache_of(store: Path | str, scratch: Path) -> StageCache:
    return StageCache(str(store), "assemble", scratch)


def make(cache: StageCache, key: str, text: str = "some rows") -> Path:
    folder = cache.scratch(key)
    (folder / "deep").mkdir()
    (folder / "rows").write_text(text)
    (folder / "deep" / "more").write_text("more")
    return cache.keep(key)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with one part, k1."""
    make(cache_of(tmp_path / "store", tmp_path / "first"), "k1")
    return tmp_path / "store"


def test_a_kept_part_is_found_by_a_later_run(store: Path, tmp_path: Path) -> None:
    folder = cache_of(store, tmp_path / "second").find("k1")
    assert folder is not None
    assert folder.is_relative_to(store / CACHE_FOLDER / "assemble" / "k1")
    assert (folder / "rows").read_text() == "some rows"
    assert (folder / "deep/more").read_text() == "more"


def test_what_was_not_kept_is_not_found(store: Path, tmp_path: Path) -> None:
    cache = cache_of(store, tmp_path / "second")
    (cache.scratch("k2") / "rows").write_text("half of them")
    assert cache.find("k2") is None
    assert cache.find("k1-and-more") is None
    assert cache_of(tmp_path / "empty", tmp_path).find("k1") is None


def test_a_part_belongs_to_one_stage(store: Path, tmp_path: Path) -> None:
    assert StageCache(str(store), "benchmarks", tmp_path).find("k1") is None


def test_the_folder_to_write_into_is_empty_and_apart_from_others(tmp_path: Path) -> None:
    cache = cache_of(tmp_path / "store", tmp_path / "scratch")
    one, other = cache.scratch("k1"), cache.scratch("k2")
    assert one != other
    assert list(one.iterdir()) == []


def test_of_two_runs_that_make_the_same_part_the_first_stays(store: Path, tmp_path: Path) -> None:
    folder = make(cache_of(store, tmp_path / "second"), "k1", "the same rows, made later")
    assert (folder / "rows").read_text() == "some rows"


def test_the_first_is_never_taken_for_what_another_run_made(store: Path, tmp_path: Path) -> None:
    make(cache_of(store, tmp_path / "second"), "k1", "SOME ROWS")
    folder = cache_of(store, tmp_path / "third").find("k1")
    assert folder is not None
    assert (folder / "rows").read_text() == "some rows"


def test_parts_can_be_handed_to_another_process(store: Path, tmp_path: Path) -> None:
    cache: StageCache = pickle.loads(pickle.dumps(cache_of(store, tmp_path / "second")))
    assert cache.find("k1") is not None
    assert make(cache, "k2").exists()


@pytest.mark.parametrize("damage", ["cut", "missing", "SOME ROWS"])
def test_a_damaged_part_is_noticed(store: Path, tmp_path: Path, damage: str) -> None:
    [rows] = (store / CACHE_FOLDER / "assemble/k1").glob("*/kept/rows")
    rows.unlink() if damage == "missing" else rows.write_text(damage)
    with pytest.raises(DataError, match=r"\.cache/assemble/k1/.*/kept/rows (is missing or not 9 bytes|differs)"):
        cache_of(store, tmp_path / "second").find("k1")


def test_a_part_whose_publishing_was_cut_off_is_made_again(store: Path, tmp_path: Path) -> None:
    [manifest] = (store / CACHE_FOLDER / "assemble/k1").glob("*/kept/manifest.json")
    manifest.unlink()
    cache = cache_of(store, tmp_path / "second")
    assert cache.find("k1") is None
    assert (make(cache, "k1", "all rows") / "rows").read_text() == "all rows"
    assert cache.find("k1") is not None


@pytest.mark.slow
def test_a_part_in_a_bucket_is_found_again_and_its_content_checked(bucket: str, tmp_path: Path) -> None:
    address = f"s3://{bucket}/prefix"
    made = make(cache_of(address, tmp_path / "first"), "k1")
    assert (made / "rows").read_text() == "some rows"

    found = cache_of(address, tmp_path / "second").find("k1")
    assert found is not None
    assert (found / "rows").read_text() == "some rows"
    assert (found / "deep/more").read_text() == "more"
    assert cache_of(address, tmp_path / "second").find("k2") is None

    [rows] = [name for name in open_store(address).files(f"{CACHE_FOLDER}/assemble/k1") if name.endswith("/rows")]
    make_client().put_object(Bucket=bucket, Key=f"prefix/{rows}", Body=b"SOME ROWS")
    with pytest.raises(DataError, match="rows differs from its manifest"):
        cache_of(address, tmp_path / "third").find("k1")


def test_parts_are_listed_with_their_sizes_and_can_be_forgotten(store: Path, tmp_path: Path) -> None:
    cache = cache_of(store, tmp_path / "second")
    make(cache, "k2", "more rows")
    sizes = {
        key: sum(path.stat().st_size for path in (store / CACHE_FOLDER / "assemble" / key).rglob("*") if path.is_file())
        for key in ("k1", "k2")
    }
    assert {key: part.bytes for key, part in cache.parts().items()} == sizes

    cache.forget("k1")

    assert list(cache.parts()) == ["k2"]
    assert cache.find("k1") is None


def test_what_a_run_has_found_last_goes_last(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read where it lies, while another run makes room."""
    make(cache_of(store, tmp_path / "first"), "k2")
    time.sleep(0.05)  # a tick of the file system's clock
    found = cache_of(store, tmp_path / "second").find("k1")
    monkeypatch.setattr(store_cache, "SECONDS_UNTIL_WHOLE", -1)
    cache = cache_of(store, tmp_path / "third")

    assert cache.make_room(0, cache.parts()["k1"].bytes, used=set())

    assert cache.parts().keys() == {"k1"}
    assert found is not None
    assert (found / "rows").read_text() == "some rows"


def test_what_may_not_be_removed_takes_room_and_ends_no_run(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(_: LocalStore, name: str) -> None:
        raise AccessError(f"{name} is not yours")

    monkeypatch.setattr(store_cache, "SECONDS_UNTIL_WHOLE", -1)
    monkeypatch.setattr(LocalStore, "delete", refused)
    assert not cache_of(store, tmp_path / "second").make_room(0, 1, used=set())
    assert "k1 is not yours" in caplog.text


def test_a_shared_cache_is_the_same_for_several_stages(tmp_path: Path) -> None:
    one, other = (StageCache(str(tmp_path / "store"), stage, tmp_path / stage) for stage in ("a", "b"))
    make(one.shared("both"), "k1")
    assert other.shared("both").find("k1") is not None
    assert other.shared("another").parts() == {}
    assert one.find("k1") is None
