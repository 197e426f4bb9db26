from collections.abc import Callable
from pathlib import Path

import pytest

from med42lib.core.errors import ConfigError, DataError
from med42lib.inspection.runs import find_row, first_data_set, newest_outputs, open_outputs
from tests.inspection.conftest import DataRun


def made_at(address: str, moment: str) -> None:
    path = Path(address, "manifest.json")
    text = path.read_text()
    start = text.index('"created_at": "') + len('"created_at": "')
    path.write_text(text[:start] + moment + text[text.index('"', start) :])


def addresses(store: str, cache: Path) -> list[str]:
    return [source.address for source in newest_outputs(store, cache)]


def test_packed_outputs_come_first_and_of_those_the_newest(run: DataRun, tmp_path: Path) -> None:
    older = run.outputs["packed"]
    run.pack("chunk_length=256")
    newer = run.outputs["packed"]
    made_at(older, "2030-01-01T00:00:00+00:00")
    made_at(newer, "2031-01-01T00:00:00+00:00")
    upstream = [run.outputs["training"], run.outputs["dataset"]]
    assert addresses(run.store, tmp_path / "cache") == [newer, older, *upstream]
    made_at(older, "2032-01-01T00:00:00+00:00")
    assert addresses(run.store, tmp_path / "cache") == [older, newer, *upstream]


def test_an_output_without_its_manifest_is_not_finished(run: DataRun, tmp_path: Path) -> None:
    Path(run.outputs["packed"], "manifest.json").unlink()
    assert run.outputs["packed"] not in addresses(run.store, tmp_path / "cache")


def test_a_row_that_only_an_older_run_has_is_found_there(run: DataRun, tmp_path: Path) -> None:
    older, whole = run.outputs["packed"], run.examples()
    run.stage("assemble", "sources.medquad.target=1", data=str(run.data))
    run.stage("pack", dataset=run.outputs["dataset"], model=str(run.model))
    newer, left = run.outputs["packed"], {example.id for example in run.examples()}
    made_at(older, "2030-01-01T00:00:00+00:00")
    made_at(newer, "2031-01-01T00:00:00+00:00")
    roots = newest_outputs(run.store, tmp_path / "cache")
    gone = next(example.id for example in whole if example.id not in left)
    kept = next(example.id for example in whole if example.id in left)
    assert find_row(roots, kept, tmp_path / "cache").dataset.root.source.address == newer
    found = find_row(roots, gone, tmp_path / "cache")
    assert (found.id, found.dataset.root.source.address) == (gone, older)
    assert found.dataset.output.manifest.stage == "assemble"


def test_any_output_made_from_the_row_will_do(assembled: Callable[..., DataRun], tmp_path: Path) -> None:
    run = assembled()
    roots = open_outputs([run.outputs["dataset"]], tmp_path / "cache")
    wanted = run.example("medquad").id
    found = find_row(roots, wanted[:-3], tmp_path / "cache")
    assert (found.id, found.dataset.output_of("pack", "packed")) == (wanted, None)
    assert first_data_set(roots, tmp_path / "cache").output.source.address == run.outputs["dataset"]


def test_unknown_and_ambiguous_ids_are_answered_with_those_that_may_be_meant(run: DataRun, tmp_path: Path) -> None:
    roots, cache = newest_outputs(run.store, tmp_path / "cache"), tmp_path / "cache"
    wanted = run.example("medquad").id
    with pytest.raises(ConfigError) as unknown:
        find_row(roots, f"{wanted[:-1]}?", cache)
    assert f"the most similar: {wanted}" in str(unknown.value)
    with pytest.raises(ConfigError, match=r"--id: 16 ids begin or end with 'medquad/'; give more of it: medquad/.*, …"):
        find_row(roots, "medquad/", cache)


def test_nothing_to_look_into_is_an_error(run: DataRun, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no finished output of pack, decontaminate or assemble"):
        newest_outputs(str(tmp_path / "nowhere"), tmp_path / "cache")
    with pytest.raises(DataError, match="is not the output of a stage"):
        find_row(open_outputs([str(run.data)], tmp_path / "cache"), "x", tmp_path / "cache")
    Path(run.outputs["dataset"], "manifest.json").unlink()
    Path(run.outputs["training"], "manifest.json").unlink()
    with pytest.raises(DataError, match="the data sets it was made from are no longer there"):
        find_row(open_outputs([run.outputs["packed"]], tmp_path / "cache"), "x", tmp_path / "cache")
