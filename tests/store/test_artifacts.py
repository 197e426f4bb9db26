import json
import os
import pickle
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier
from typing import Any, ClassVar

import pytest

from med42lib.core.errors import DataError
from med42lib.store import artifacts
from med42lib.store.artifacts import Source, Target, give_usual_modes
from med42lib.store.backends.local import LocalStore
from med42lib.store.manifest import FileEntry, Input, Manifest, describe_folder, files_digest, has_content
from tests.store.outputs import filled, published


@pytest.fixture(name="published")
def finished_output(tmp_path: Path) -> Path:
    """A finished output with a manifest."""
    folder = tmp_path / "out"
    target = Target(folder)
    target.path("model/weights").write_text("w" * 10)
    target.metric("loss", 1.5, step=3)
    files = describe_folder(folder, target.notes)
    made = Manifest("t", "o", "k", {}, {"d": Input("x", "y")}, files, 1, "2026-01-01T00:00:00+00:00", 1.0)
    return Path(published(str(tmp_path / "store"), folder, made))


def test_a_users_folder_is_named_by_its_files_contents(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f.csv").write_text("1,2")
    first, second = Source(str(tmp_path / "a")), Source(str(tmp_path / "b"))
    assert first.digest == second.digest
    (tmp_path / "b" / "f.csv").write_text("1,3")
    assert Source(str(tmp_path / "b")).digest != first.digest


def test_an_outputs_digest_comes_from_its_manifest_and_ignores_metrics(published: Path) -> None:
    source = Source(str(published))
    assert source.manifest is not None
    assert source.digest == source.manifest.digest


def test_files_and_folders_are_found_by_name(published: Path) -> None:
    source = Source(str(published))
    assert source.path("model/weights").read_text() == "w" * 10
    assert source.path("model") == published / "model"
    assert source.path() == published
    assert source.has("model")
    assert source.has("")
    assert not source.has("peft")
    assert [source.has_file(name) for name in ("model/weights", "model", "")] == [True, False, False]


def test_a_name_that_is_not_there_lists_what_is(published: Path) -> None:
    with pytest.raises(DataError, match=r"has no 'peft'; it has metrics.jsonl, model/weights"):
        Source(str(published)).path("peft")


def test_a_file_cut_short_after_publishing_is_noticed(published: Path) -> None:
    (published / "model/weights").write_text("w")
    with pytest.raises(DataError, match=r"model/weights is missing or not 10 bytes long"):
        Source(str(published)).path("model")


def test_metrics_are_read_back_with_step_and_time(published: Path) -> None:
    [point] = Source(str(published)).metrics()
    assert (point.key, point.value, point.step) == ("loss", 1.5, 3)
    assert point.timestamp_ms > 1_600_000_000_000


def test_an_empty_folder_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no files"):
        _ = Source(str(tmp_path)).files


def test_a_target_counts_as_written_only_with_a_file_besides_metrics(tmp_path: Path) -> None:
    target = Target(tmp_path)
    target.metric("x", 1)
    assert not target.written
    target.path("sub/file").write_text("")
    assert target.written


def test_a_narrowed_source_has_those_files_alone(published: Path) -> None:
    source = Source(str(published))
    narrowed = source.narrowed(source.files[1:])
    assert [entry.path for entry in narrowed.files] == ["model/weights"]
    assert narrowed.path("model/weights").read_text() == "w" * 10
    with pytest.raises(DataError, match=r"has no 'metrics\.jsonl'; it has model/weights"):
        narrowed.path("metrics.jsonl")


def test_a_source_goes_to_another_process_with_what_is_known_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("1,2")
    source = Source(str(tmp_path), cache=tmp_path / "cache")
    known = source.files
    (tmp_path / "f.csv").write_text("3,4")
    handed_over: Source = pickle.loads(pickle.dumps(source))
    assert handed_over.address == source.address
    assert handed_over.files == known, "not hashed again"


@pytest.mark.parametrize("content", [b'{"name": "an extension"}', b'{"name": "caf\xe9"}'], ids=["json", "latin 1"])
def test_a_users_own_file_of_the_manifests_name_is_to_be_renamed_not_deleted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(DataError, match=r"manifest\.json is not a .* if that folder is yours, rename the file"):
        _ = Source(str(tmp_path)).files


class Remote(LocalStore):
    """A folder that has to be fetched from, and counts what is."""

    fetched: ClassVar[list[str]] = []

    def local_path(self, name: str) -> Any:
        return None

    def fetch(self, name: str, path: Path) -> None:
        self.fetched.append(name)
        super().fetch(name, path)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make every address remote, and list the copies whose content is compared."""
    names: list[str] = []

    def compared(path: Path, sha256: str) -> bool:
        names.append(path.name)
        return has_content(path, sha256)

    monkeypatch.setattr(Remote, "fetched", [])
    monkeypatch.setattr(artifacts, "has_content", compared)
    monkeypatch.setattr(artifacts, "open_store", lambda address: Remote(address, Path(address)))
    return names


def test_what_came_over_a_network_is_hashed_once(published: Path, tmp_path: Path, hashed: list[str]) -> None:
    source = Source(str(published), cache=tmp_path / "cache")
    for name in ("model/weights", "model", "model/weights"):
        assert source.path(name) == tmp_path / "cache" / name
    assert hashed == ["weights"]
    assert Source(str(published), cache=tmp_path / "cache").path("model").exists()
    assert Remote.fetched == ["model/weights"]
    assert len(hashed) > 1, "a source trusts only what it saw itself"


def test_of_a_users_remote_folder_only_what_is_asked_for_is_fetched(tmp_path: Path, hashed: list[str]) -> None:
    filled(tmp_path / "data", {"a.csv": "1,2", "b.csv": "3,4"})
    source = Source(str(tmp_path / "data"), cache=tmp_path / "cache")
    assert source.digest
    assert Remote.fetched == []
    assert source.path("a.csv").read_text() == "1,2"
    assert Remote.fetched == ["a.csv"]


@pytest.mark.parametrize("asked", ["the folder", "the files"])
def test_several_files_are_fetched_at_a_time(
    published: Path, tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    filled(tmp_path / "data", {"x/a": "1", "x/b": "2"})
    fetch, both_under_way = Remote.fetch, Barrier(2, timeout=10)

    def fetch_beside_another(store: Remote, name: str, path: Path) -> None:
        both_under_way.wait()
        fetch(store, name, path)

    monkeypatch.setattr(Remote, "fetch", fetch_beside_another)
    source, cache = Source(str(tmp_path / "data"), cache=tmp_path / "cache"), tmp_path / "cache"
    if asked == "the folder":
        assert source.path("x") == cache / "x"
    else:
        assert source.paths(["x/b", "x/a"]) == [cache / "x/b", cache / "x/a"]
    assert [(cache / name).read_text() for name in ("x/a", "x/b")] == ["1", "2"]


def test_of_several_files_one_that_is_not_there_is_told_with_what_is(published: Path) -> None:
    with pytest.raises(DataError, match=r"has no 'model'; it has metrics.jsonl, model/weights"):
        Source(str(published)).paths(["model/weights", "model"])


def test_a_copy_that_is_dropped_is_fetched_again_when_it_is_asked_for(
    published: Path, tmp_path: Path, hashed: list[str]
) -> None:
    source = Source(str(published), cache=tmp_path / "cache")
    source.path("model/weights")
    source.drop("model/weights")
    assert not (tmp_path / "cache/model/weights").exists()
    assert source.path("model/weights").read_text() == "w" * 10


def test_what_was_not_fetched_is_never_dropped(published: Path) -> None:
    source = Source(str(published))
    source.drop("model/weights")
    assert source.path("model/weights").read_text() == "w" * 10


def test_a_copy_that_an_earlier_run_left_is_not_taken_for_what_is_there_now(
    published: Path, tmp_path: Path, hashed: list[str]
) -> None:
    filled(tmp_path / "cache", {"model/weights": "v" * 10})
    assert Source(str(published), cache=tmp_path / "cache").path("model/weights").read_text() == "w" * 10


def test_a_remote_file_that_changed_after_it_was_named_is_refused(tmp_path: Path, hashed: list[str]) -> None:
    filled(tmp_path / "data", {"a.csv": "1,2"})
    source = Source(str(tmp_path / "data"), cache=tmp_path / "cache")
    assert source.digest
    filled(tmp_path / "data", {"a.csv": "1,3"})
    with pytest.raises(DataError, match=r"a\.csv changed while it was read"):
        source.path()


def test_a_file_of_a_finished_output_edited_in_place_is_noticed(published: Path) -> None:
    (published / "model/weights").write_text("v" * 10)
    with pytest.raises(DataError, match=r"model/weights differs from its manifest; delete .* and run again"):
        Source(str(published)).path("model")


@pytest.mark.parametrize("name", ["../../secret.xml", "/etc/passwd", "model\\..\\x"])
def test_a_strangers_manifest_brings_no_file_from_outside(published: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.xml").write_text("secret")
    manifest = json.loads((published / "manifest.json").read_text())
    manifest["files"][0]["path"] = name
    (published / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"manifest\.json names the file .* does not stay in its folder"):
        _ = Source(str(published)).files
    with pytest.raises(DataError, match="does not stay in its folder"):
        Source(str(published)).reach(name)
    assert (tmp_path / "secret.xml").read_text() == "secret"


def test_a_link_in_a_finished_output_brings_no_file_from_outside(published: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("w" * 10)
    (published / "model/weights").unlink()
    (published / "model/weights").symlink_to(tmp_path / "secret")
    for ask in (lambda s: s.path("model/weights"), lambda s: s.path(), lambda s: s.reach("model/weights")):
        with pytest.raises(DataError, match=r"is a symbolic link to .*secret, outside"):
            ask(Source(str(published)))


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x"])
def test_a_target_is_written_inside_its_folder_only(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="does not stay in its folder"):
        Target(tmp_path / "out").path(name)


def test_notes_are_listed_in_the_manifest_and_do_not_enter_the_digest(tmp_path: Path) -> None:
    digests = set()
    for text in ("first words", "better words"):
        target = Target(tmp_path / text)
        target.path("rows").write_text("1")
        target.path("README.md", note=True).write_text(text)
        digests.add(files_digest(describe_folder(target.folder, target.notes)))
    assert len(digests) == 1
    assert "README.md" in target.notes


def test_a_finished_output_with_a_file_that_nobody_listed_is_not_handed_to_a_library(published: Path) -> None:
    (published / "model/tokenizer.json").write_text("{}")
    source = Source(str(published))
    for whole in ("", "model"):
        with pytest.raises(DataError, match=r"holds model/tokenizer\.json, which its manifest does not list; remove"):
            source.path(whole)
    assert source.path("model/weights").exists()


@pytest.mark.parametrize("content", ["2", "22"], ids=["same size", "longer"])
def test_a_file_of_the_users_that_changes_while_it_is_read_is_told_and_not_to_be_deleted(
    tmp_path: Path, content: str
) -> None:
    source = Source(str(filled(tmp_path / "data", {"a": "1", "b/c": "1", "b/d": "1"})))
    part = pickle.loads(pickle.dumps(source.narrowed(tuple(entry for entry in source.files if entry.path != "a"))))
    source.check_unchanged()
    time.sleep(0.02)
    (tmp_path / "data/a").write_text(content)
    part.check_unchanged()
    with pytest.raises(DataError, match=r"data/a changed while it was read; run again when nothing writes there"):
        source.check_unchanged()
    (tmp_path / "data/b/d").unlink()
    with pytest.raises(DataError, match=r"data/b/d changed while it was read"):
        part.check_unchanged()


def test_a_file_of_the_users_that_grew_since_it_was_named_is_not_to_be_deleted(tmp_path: Path) -> None:
    source = Source(str(filled(tmp_path / "data", {"a": "1"})))
    assert source.digest
    (tmp_path / "data/a").write_text("22")
    with pytest.raises(DataError, match=r"data/a changed while it was read; run again"):
        source.path("a")


def test_a_file_that_came_wrong_over_the_network_comes_once_more(
    published: Path, tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = Remote.fetch

    def fetch_with_a_flipped_bit_at_first(store: Remote, name: str, path: Path) -> None:
        fetch(store, name, path)
        if len(store.fetched) == 1:
            path.write_text("v" + "w" * 9)

    monkeypatch.setattr(Remote, "fetch", fetch_with_a_flipped_bit_at_first)
    assert Source(str(published), cache=tmp_path / "cache").path("model/weights").read_text() == "w" * 10
    assert Remote.fetched == ["model/weights"] * 2


@pytest.mark.parametrize("wrong", ["v" * 10, "w" * 9])
def test_a_wrong_copy_is_not_kept(published: Path, tmp_path: Path, hashed: list[str], wrong: str) -> None:
    source = Source(str(published), cache=tmp_path / "cache")
    (published / "model/weights").write_text(wrong)
    with pytest.raises(DataError, match=r"model/weights (differs from its manifest|is missing or not 10 bytes long)"):
        source.path("model")
    (published / "model/weights").write_text("w" * 10)
    assert source.path("model/weights").read_text() == "w" * 10


def test_sizes_and_a_single_file_need_no_hashing(tmp_path: Path, hashed: list[str]) -> None:
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "deep" / "weights").write_bytes(bytes(1000))
    (tmp_path / "data" / "config.json").write_text("{}")
    source = Source(str(tmp_path / "data"), cache=tmp_path / "cache")
    assert source.sizes() == {"config.json": 2, "deep/weights": 1000}
    assert source.reach("config.json").read_text() == "{}"
    assert Remote.fetched == ["config.json"]
    assert hashed == []


def test_the_sizes_are_those_of_the_files_that_are_known(published: Path, tmp_path: Path) -> None:
    source = Source(str(published))
    assert source.sizes()["model/weights"] == 10
    assert "manifest.json" not in source.sizes()
    assert source.narrowed(source.files[1:]).sizes() == {"model/weights": 10}
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no files"):
        Source(str(tmp_path / "empty")).sizes()


def test_a_single_file_is_reached_beside_what_a_whole_folder_would_be_refused_for(tmp_path: Path) -> None:
    (tmp_path / "outside").symlink_to("/nowhere")
    (tmp_path / "rows.jsonl").write_text("{}\n")
    assert Source(str(tmp_path)).reach("rows.jsonl") == tmp_path / "rows.jsonl"
    with pytest.raises(DataError, match=r"has no file other\.jsonl"):
        Source(str(tmp_path)).reach("other.jsonl")


class Counted(tuple[FileEntry, ...]):
    """Entries that count how often they are gone through."""

    times = 0

    def __iter__(self) -> Iterator[FileEntry]:
        self.times += 1
        return super().__iter__()


def test_looking_files_up_does_not_go_through_all_of_them_each_time(published: Path) -> None:
    files = Counted(Source(str(published)).files)
    source = Source(str(published), files=files)
    for _ in range(100):
        assert source.has_file("model/weights")
        assert source.has("model/weights")
        assert source.path("model/weights").exists()
    assert files.times == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
@pytest.mark.parametrize("mode", [0o664, 0o640])
def test_a_file_that_is_another_persons_too_keeps_its_mode_and_an_own_one_gets_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    """The base's weights in a package of a team's store: `package_model` links them."""
    theirs, package = filled(tmp_path / "base", {"weights": "w"}), tmp_path / "package"
    (theirs / "weights").chmod(mode)
    package.mkdir()
    (package / "weights").hardlink_to(theirs / "weights")
    (package / "own").write_text("o")
    (package / "own").chmod(0o600)
    os.chown(package / "own", 65534, -1)
    monkeypatch.chdir(package)  # the folders above are root's alone
    before = os.umask(0o002)
    os.seteuid(65534)
    try:
        give_usual_modes(Path())
    finally:
        os.seteuid(0)
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in package.iterdir()}
    assert modes == {"weights": mode, "own": 0o664}


def test_a_file_that_a_hubs_cache_has_too_keeps_its_mode(tmp_path: Path) -> None:
    cache, model = filled(tmp_path / "cache", {"blob": "w"}), tmp_path / "model"
    (cache / "blob").chmod(0o664)
    model.mkdir()
    (model / "weights").hardlink_to(cache / "blob")
    before = os.umask(0o077)
    try:
        give_usual_modes(model)
    finally:
        os.umask(before)
    assert (cache / "blob").stat().st_mode & 0o777 == 0o664
