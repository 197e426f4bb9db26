import pickle
from pathlib import Path

import pytest

from med42lib.core.errors import DataError
from med42lib.store.cache import PARTS_FOLDER, Parts
from med42lib.store.s3 import make_client
from med42lib.store.store import LocalStore


def parts_of(store: Path | str, scratch: Path) -> Parts:
    return Parts(str(store), "assemble", scratch)


def make(parts: Parts, key: str, text: str = "some rows") -> Path:
    folder = parts.scratch(key)
    (folder / "deep").mkdir()
    (folder / "rows").write_text(text)
    (folder / "deep" / "more").write_text("more")
    return parts.keep(key)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with one part, k1."""
    make(parts_of(tmp_path / "store", tmp_path / "first"), "k1")
    return tmp_path / "store"


def test_a_kept_part_is_found_by_a_later_run(store: Path, tmp_path: Path) -> None:
    folder = parts_of(store, tmp_path / "second").find("k1")
    assert folder == store / PARTS_FOLDER / "assemble" / "k1"
    assert (folder / "rows").read_text() == "some rows"
    assert (folder / "deep/more").read_text() == "more"


def test_what_was_not_kept_is_not_found(store: Path, tmp_path: Path) -> None:
    parts = parts_of(store, tmp_path / "second")
    (parts.scratch("k2") / "rows").write_text("half of them")
    assert parts.find("k2") is None
    assert parts.find("k1-and-more") is None
    assert parts_of(tmp_path / "empty", tmp_path).find("k1") is None


def test_a_part_belongs_to_one_stage(store: Path, tmp_path: Path) -> None:
    assert Parts(str(store), "benchmarks", tmp_path).find("k1") is None


def test_the_folder_to_write_into_is_empty_and_apart_from_others(tmp_path: Path) -> None:
    parts = parts_of(tmp_path / "store", tmp_path / "scratch")
    one, other = parts.scratch("k1"), parts.scratch("k2")
    assert one != other
    assert list(one.iterdir()) == []


def test_of_two_runs_that_make_the_same_part_the_first_stays(store: Path, tmp_path: Path) -> None:
    folder = make(parts_of(store, tmp_path / "second"), "k1", "the same rows, made later")
    assert (folder / "rows").read_text() == "some rows"


def test_parts_can_be_handed_to_another_process(store: Path, tmp_path: Path) -> None:
    parts: Parts = pickle.loads(pickle.dumps(parts_of(store, tmp_path / "second")))
    assert parts.find("k1") is not None
    assert make(parts, "k2").exists()


@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_a_damaged_part_is_noticed(store: Path, tmp_path: Path, damage: str) -> None:
    rows = store / PARTS_FOLDER / "assemble/k1/rows"
    rows.write_text("some") if damage == "cut" else rows.unlink()
    with pytest.raises(DataError, match=r"\.parts/assemble/k1/rows is missing or not 9 bytes long"):
        parts_of(store, tmp_path / "second").find("k1")


def test_a_part_whose_publishing_was_cut_off_is_made_again(store: Path, tmp_path: Path) -> None:
    (store / PARTS_FOLDER / "assemble/k1/manifest.json").unlink()
    parts = parts_of(store, tmp_path / "second")
    assert parts.find("k1") is None
    assert (make(parts, "k1", "all rows") / "rows").read_text() == "all rows"
    assert parts.find("k1") is not None


@pytest.mark.slow
def test_a_part_in_a_bucket_is_found_again_and_its_content_checked(bucket: str, tmp_path: Path) -> None:
    address = f"s3://{bucket}/prefix"
    made = make(parts_of(address, tmp_path / "first"), "k1")
    assert (made / "rows").read_text() == "some rows"

    found = parts_of(address, tmp_path / "second").find("k1")
    assert found is not None
    assert (found / "rows").read_text() == "some rows"
    assert (found / "deep/more").read_text() == "more"
    assert parts_of(address, tmp_path / "second").find("k2") is None

    make_client().put_object(Bucket=bucket, Key="prefix/.parts/assemble/k1/rows", Body=b"SOME ROWS")
    with pytest.raises(DataError, match="rows differs from its manifest"):
        parts_of(address, tmp_path / "third").find("k1")


def test_the_manifest_is_read_once(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, names = LocalStore.read, list[str]()

    def counted(self: LocalStore, name: str) -> bytes | None:
        names.append(name)
        return read(self, name)

    monkeypatch.setattr(LocalStore, "read", counted)
    assert parts_of(store, tmp_path / "second").find("k1") is not None
    assert names == ["manifest.json"]
