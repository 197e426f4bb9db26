import json
from pathlib import Path

import pytest

from med42lib.store.lineage import Lineage, trace
from med42lib.tracking.data_inputs import data_inputs, mixtures_behind, mlflow_schema
from tests.register.conftest import FinishedRun


@pytest.fixture
def lineage(finished_run: FinishedRun, tmp_path: Path) -> Lineage:
    return trace(finished_run.source("report"), cache=tmp_path / "cache")


def names_of(lineage: Lineage, run: FinishedRun, edge: str) -> list[str]:
    address = run.addresses[edge]
    found = data_inputs(lineage.at(address).manifest, mixtures_behind(lineage.outputs).get(address), {})
    return [entry.name for entry in found]


def test_a_training_has_its_chunks_and_the_mixture_they_were_made_from(
    lineage: Lineage, finished_run: FinishedRun
) -> None:
    assert names_of(lineage, finished_run, "full") == ["dataset", "packed"]
    assert names_of(lineage, finished_run, "lora") == ["dataset", "packed"]


@pytest.mark.parametrize(
    ("edge", "names"),
    [
        ("base", []),
        ("dataset", []),
        ("packed", ["dataset"]),
        ("training", ["dataset", "items"]),
        ("lora_scores", ["items"]),
    ],
)
def test_other_stages_have_what_they_read(
    edge: str, names: list[str], lineage: Lineage, finished_run: FinishedRun
) -> None:
    assert names_of(lineage, finished_run, edge) == names


def test_only_the_mixture_is_described_however_it_is_reached(lineage: Lineage, finished_run: FinishedRun) -> None:
    """MLflow keeps one data set per name and digest, as it was first recorded: so all must describe it alike."""
    upstream = mixtures_behind(lineage.outputs)
    described = {
        (entry.name, entry.profile)
        for edge in ("training", "full", "report")
        for entry in data_inputs(
            lineage.at(finished_run.addresses[edge]).manifest, upstream[finished_run.addresses[edge]], {}
        )
        if entry.profile
    }
    ((name, profile),) = described
    assert (name, json.loads(profile)["num_rows"]) == ("dataset", 3)


def test_a_training_whose_mixture_is_gone_has_its_chunks_alone(lineage: Lineage, finished_run: FinishedRun) -> None:
    kept = [output for output in lineage.outputs if output.manifest.stage != "assemble"]
    assert mixtures_behind(kept) == {}
    manifest = lineage.at(finished_run.addresses["full"]).manifest
    assert [entry.name for entry in data_inputs(manifest, None, {})] == ["packed"]


def test_a_mixture_without_its_table_is_still_counted(lineage: Lineage, finished_run: FinishedRun) -> None:
    assembled = lineage.at(finished_run.addresses["dataset"])
    bare = type(assembled)(assembled.source.narrowed(()), assembled.manifest)
    manifest = lineage.at(finished_run.addresses["full"]).manifest
    assert json.loads(data_inputs(manifest, bare, {})[0].profile) == {"num_rows": 3}


def test_what_somebody_counted_has_its_number_of_rows(lineage: Lineage, finished_run: FinishedRun) -> None:
    items, manifest = finished_run.addresses["items"], lineage.at(finished_run.addresses["lora_scores"]).manifest
    assert json.loads(data_inputs(manifest, None, {items: 7})[0].profile) == {"num_rows": 7}
    assert data_inputs(manifest, None, {items: None})[0].profile == ""


def test_the_schema_is_what_mlflow_writes_of_it() -> None:
    from mlflow.types import Schema

    columns = json.loads(mlflow_schema())["mlflow_colspec"]
    assert Schema.from_json(json.dumps(columns)).to_dict() == columns
