import pickle
from pathlib import Path

import pytest

from med42lib.core.edges import Source, Target
from med42lib.core.errors import DataError
from med42lib.core.manifest import Input, Manifest, describe_folder
from med42lib.core.store import open_store


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A finished output with a manifest."""
    folder = tmp_path / "out"
    target = Target(folder)
    target.path("model/weights").write_text("w" * 10)
    target.metric("loss", 1.5, step=3)
    manifest = Manifest("t", "o", "k", {}, {"d": Input("x", "y")}, describe_folder(folder), 1, "now", 1.0)
    open_store(str(tmp_path)).publish("done", folder, manifest.files, manifest.to_json())
    return tmp_path / "done"


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
    assert not source.has("peft")


def test_a_name_that_is_not_there_lists_what_is(published: Path) -> None:
    with pytest.raises(DataError, match=r"has no 'peft'; it has metrics.jsonl, model/weights"):
        Source(str(published)).path("peft")


def test_a_file_cut_short_after_publishing_is_noticed(published: Path) -> None:
    (published / "model/weights").write_text("w")
    with pytest.raises(DataError, match=r"model/weights is missing or not 10 bytes long"):
        Source(str(published)).path("model")


def test_metrics_are_read_back_with_step_and_time(published: Path) -> None:
    [row] = Source(str(published)).metrics()
    assert (row["key"], row["value"], row["step"]) == ("loss", 1.5, 3)
    assert row["timestamp_ms"] > 1_600_000_000_000


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
