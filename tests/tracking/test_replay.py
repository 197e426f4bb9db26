import json
from pathlib import Path

import pytest

from med42lib.store.lineage import trace
from med42lib.tracking.replay import StageRecord, stage_records
from tests.register.conftest import FinishedRun


@pytest.fixture
def records(finished_run: FinishedRun, tmp_path: Path) -> dict[str, StageRecord]:
    package, report = finished_run.package("lora"), finished_run.source("report")
    lineage = trace(package, report, cache=tmp_path / "cache")
    manifest = lineage.at(report.address).manifest
    return {record.name: record for record in stage_records(lineage, manifest)}


def test_each_call_of_a_stage_has_a_name_of_its_own(records: dict[str, StageRecord]) -> None:
    assert list(records) == [
        "fetch_model",
        "assemble",
        "benchmarks",
        "decontaminate",
        "pack",
        "train[full]",
        "train[lora]",
        "package_model",
        "evaluate[base]",
        "evaluate[full]",
        "evaluate[lora]",
        "report",
    ]


def test_calls_that_the_report_did_not_read_are_told_apart_by_key(finished_run: FinishedRun, tmp_path: Path) -> None:
    lineage = trace(finished_run.source("full"), finished_run.source("lora"), cache=tmp_path)
    unread = lineage.at(finished_run.addresses["full"]).manifest
    names = [record.name for record in stage_records(lineage, unread)]
    assert names[-2:] == ["train[full-key]", "train[lora-key]"]


def test_times_are_those_of_the_stage(records: dict[str, StageRecord]) -> None:
    assert records["pack"].end_ms == 1_767_323_045_000
    assert records["pack"].end_ms - records["pack"].start_ms == 2500


def test_tags_name_every_output_of_the_call(records: dict[str, StageRecord], finished_run: FinishedRun) -> None:
    tags = records["decontaminate"].tags()
    assert tags["med42.key"] == "decon-key"
    assert tags["med42.rows.training"] == "3"
    assert tags["med42.version.torch"] == "2.13.0"
    for target in ("training", "contamination"):
        assert tags[f"med42.digest.{target}"] == finished_run.source(target).digest
        assert tags[f"med42.address.{target}"] == finished_run.addresses[target]


def test_training_and_evaluation_data_are_told_apart(records: dict[str, StageRecord]) -> None:
    assert [(data.name, data.context) for data in records["pack"].data()] == [("dataset", "training")]
    assert [(data.name, data.context) for data in records["evaluate[base]"].data()] == [("items", "evaluation")]
    assert records["fetch_model"].data() == []


def test_metrics_keep_their_steps_and_times(records: dict[str, StageRecord], finished_run: FinishedRun) -> None:
    points = list(records["train[lora]"].metrics())
    rows = [json.loads(line) for line in finished_run.source("lora").path("metrics.jsonl").read_text().splitlines()]
    assert [(p.key, p.value, p.step, p.timestamp_ms) for p in points] == [
        (row["key"], row["value"], row["step"], row["timestamp_ms"]) for row in rows
    ]
