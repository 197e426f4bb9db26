import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import pytest

from med42lib.core.errors import DataError, NoSpaceError, TrackingError
from med42lib.formats.dataset import SCHEMA
from med42lib.register.config import Gate, RegisterConfig
from med42lib.register.stage import register
from med42lib.store.artifacts import Target
from med42lib.store.manifest import COMMIT, MANIFEST_FILE
from tests.register.conftest import BASE_HUB, MEASURED_AT_MS, FinishedRun, at_once, publish_report

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

pytestmark = pytest.mark.usefixtures("database")

CONFIG = RegisterConfig(experiment="med42 tests", model_name="tiny-med", description="a note", tags={"team": "x"})


def call(
    run: FinishedRun, candidate: str = "lora", config: RegisterConfig = CONFIG, *, report: str = "report"
) -> bytes:
    """Run the stage as if all before it had finished; returns registered.json."""
    package = run.package(candidate)
    folder = Path(mkdtemp(prefix="registered-", dir=run.scratch))
    register(
        config,
        trained=run.trained(),
        package=package,
        report=run.source(report),
        registered=Target(folder),
        context=run.context,
    )
    return (folder / "registered.json").read_bytes()


class Seen:
    """What MLflow holds, read with MLflow's own client."""

    def __init__(self, client: "MlflowClient") -> None:
        self.client = client

    def runs(self, name: str = CONFIG.experiment) -> "list[Run]":
        experiment = self.client.get_experiment_by_name(name)
        return list(self.client.search_runs([experiment.experiment_id], max_results=100))

    @property
    def parent(self) -> "Run":
        (parent,) = [run for run in self.runs() if "mlflow.parentRunId" not in run.data.tags]
        return parent

    @property
    def children(self) -> "dict[str, Run]":
        parent_id = self.parent.info.run_id
        runs = [run for run in self.runs() if run.data.tags.get("mlflow.parentRunId") == parent_id]
        assert len({run.info.run_name for run in runs}) == len(runs)
        return {run.info.run_name: run for run in runs}

    @property
    def versions(self) -> list[str]:
        return sorted(str(version.version) for version in self.client.search_model_versions("name = 'tiny-med'"))

    @property
    def aliases(self) -> dict[str, str]:
        return dict(self.client.get_registered_model("tiny-med").aliases)

    @property
    def candidate(self) -> str:
        return str(self.client.get_model_version_by_alias("tiny-med", "candidate").version)


@pytest.fixture
def seen(database: Path) -> Seen:
    from mlflow import MlflowClient

    return Seen(MlflowClient(f"sqlite:///{database}"))


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, logger="med42.register"):
        yield caplog


def test_every_stage_is_a_child_of_one_run(finished_run: FinishedRun, seen: Seen) -> None:
    call(finished_run)
    assert set(seen.children) == {
        *("fetch_model", "assemble", "benchmarks", "decontaminate", "pack", "train[full]", "train[lora]"),
        *("evaluate[base]", "evaluate[full]", "evaluate[lora]", "package_model", "report"),
    }
    assert {run.info.status for run in seen.runs()} == {"FINISHED"}
    assert seen.parent.data.tags["team"] == "x"


def test_the_whole_run_says_what_it_is_and_by_which_settings_and_data(finished_run: FinishedRun, seen: Seen) -> None:
    call(finished_run)
    assert seen.parent.data.params == {
        "base_model": BASE_HUB,
        "package_model.candidate": "lora",
        "train.full.method": "full",
        "train.lora.method": "lora",
    }
    inputs = {entry.dataset.name: entry.dataset for entry in seen.parent.inputs.dataset_inputs}
    for edge in ("dataset", "items", "packed"):
        assert inputs[edge].digest == finished_run.source(edge).digest[:32]
        assert json.loads(inputs[edge].profile)["num_rows"] == 3
    note = seen.parent.data.tags["mlflow.note.content"]
    assert note.startswith(f"a note\n\nTrained `full`, `lora` from `{BASE_HUB}` on 3 conversations of 2 sources.")
    assert "The candidate is `lora`." in note
    assert "**No difference from the base shown.**" in note
    assert "**Not for clinical decisions.**" in note


def test_a_stage_keeps_its_settings_times_data_and_manifest(finished_run: FinishedRun, seen: Seen) -> None:
    call(finished_run)
    train = seen.children["train[lora]"]
    assert train.data.params == {"method": "lora", "recipe.epochs": "2", "recipe.betas": "[0.9, 0.95]"}
    assert (train.info.start_time, train.info.end_time) == (1_767_323_042_500, 1_767_323_045_000)
    assert sorted(entry.dataset.name for entry in train.inputs.dataset_inputs) == ["dataset", "packed"]
    path = seen.client.download_artifacts(train.info.run_id, "trained/manifest.json")
    assert json.loads(Path(path).read_text())["digest"] == finished_run.source("lora").digest


@pytest.mark.parametrize("stage", ["train[full]", "train[lora]"])
def test_the_assembled_mixture_is_an_input_of_each_training(stage: str, finished_run: FinishedRun, seen: Seen) -> None:
    from mlflow.types import Schema

    call(finished_run)
    assembled = finished_run.source("dataset")
    assert assembled.manifest is not None
    inputs = {entry.dataset.name: entry for entry in seen.children[stage].inputs.dataset_inputs}
    dataset = inputs["dataset"].dataset
    assert dataset.digest == assembled.manifest.digest[:32]
    assert json.loads(dataset.source) == {"uri": assembled.address, "sha256": assembled.manifest.digest}
    assert [(tag.key, tag.value) for tag in inputs["dataset"].tags] == [("mlflow.data.context", "training")]
    columns = Schema.from_json(json.dumps(json.loads(dataset.schema)["mlflow_colspec"]))
    assert columns.input_names() == SCHEMA.names
    assert json.loads(dataset.profile) == {
        "num_rows": 3,
        "sources": {"a": 2, "b": 1},
        "domains": {"general": 1, "medical": 2},
    }
    assert json.loads(inputs["packed"].dataset.profile) == {"num_rows": 3}


def test_metrics_are_replayed_with_their_own_steps_and_times(finished_run: FinishedRun, seen: Seen) -> None:
    call(finished_run)
    history = seen.client.get_metric_history(seen.children["train[full]"].info.run_id, "loss")
    assert sorted((point.step, point.timestamp, point.value) for point in history) == [
        (step, MEASURED_AT_MS + step, 1 / (step + 1)) for step in range(1500)
    ]


def test_the_report_and_its_numbers_are_the_parents(finished_run: FinishedRun, seen: Seen) -> None:
    call(finished_run)
    names = {entry.path for entry in seen.client.list_artifacts(seen.parent.info.run_id)}
    assert names == {"report.html", "report.md", "results.csv", "summary.json", "figures"}
    path = seen.client.download_artifacts(seen.parent.info.run_id, "figures/accuracy.svg")
    assert Path(path).read_text() == "<svg/>"
    assert seen.parent.data.metrics == {
        "accuracy/clean/overall/base": 0.7,
        "accuracy/clean/overall/full": 0.6,
        "accuracy/clean/overall/lora": 0.75,
        "difference_clean": 0.5,
        "leaked_share": 0.1,
    }


def test_a_training_that_recorded_no_commit_has_no_tag_of_it(finished_run: FinishedRun, seen: Seen) -> None:
    manifest = Path(finished_run.addresses["full"], MANIFEST_FILE)
    manifest.write_text(manifest.read_text().replace(COMMIT, "another package"))
    call(finished_run, "full")
    assert "med42.git_sha" not in seen.client.get_model_version_by_alias("tiny-med", "candidate").tags


@pytest.mark.parametrize(("candidate", "edge"), [("full", "full"), ("lora", "package_lora"), ("base", "package_base")])
def test_the_version_points_at_the_candidates_own_address(
    candidate: str, edge: str, finished_run: FinishedRun, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MED42_GIT_SHA", "commit of register")
    call(finished_run, candidate)
    version = seen.client.get_model_version_by_alias("tiny-med", "candidate")
    assert version.source == Path(finished_run.addresses[edge]).as_uri()
    assert version.run_id == seen.parent.info.run_id
    assert version.description.startswith("# tiny-med\n\n**Not for clinical decisions.**")
    assert "\n\na note\n\n" in version.description
    assert version.tags["med42.candidate"] == candidate
    assert version.tags["med42.git_sha"] == f"commit of {'package_model' if candidate == 'base' else 'train'}"
    assert version.tags["team"] == "x"
    assert version.tags["med42.accuracy_clean"] == {"full": "0.6000", "lora": "0.7500", "base": "0.7000"}[candidate]
    assert version.tags["med42.base_model"] == BASE_HUB
    digests = {"weights": edge, "base": "base", "dataset": "dataset", "contamination": "contamination"}
    for tag, source in digests.items():
        assert version.tags[f"med42.{tag}"] == finished_run.source(source).digest


def test_a_second_call_adds_nothing(finished_run: FinishedRun, seen: Seen) -> None:
    first = call(finished_run)
    runs = {run.info.run_id for run in seen.runs()}
    assert call(finished_run) == first
    assert {run.info.run_id for run in seen.runs()} == runs
    assert seen.versions == ["1"]
    assert len(seen.client.get_metric_history(seen.children["train[full]"].info.run_id, "loss")) == 1500


@pytest.mark.parametrize("description", ["another note", ""])
def test_a_changed_description_reaches_the_version_there_is(
    finished_run: FinishedRun, seen: Seen, description: str
) -> None:
    call(finished_run)
    call(finished_run, config=CONFIG.model_copy(update={"description": description}))
    assert seen.versions == ["1"]
    said = seen.client.get_model_version("tiny-med", "1").description
    assert "a note" not in said
    assert description in said


@pytest.mark.parametrize(
    ("candidate", "places"), [("full", {"full"}), ("lora", {"lora", "package_lora"}), ("base", {"package_base"})]
)
def test_the_card_lies_beside_the_weights_and_the_folders_that_libraries_read_are_still_whole(
    candidate: str, places: set[str], finished_run: FinishedRun
) -> None:
    call(finished_run, candidate)
    call(finished_run, candidate, CONFIG.model_copy(update={"description": "another note"}))
    for edge in ("base", "full", "lora", f"package_{candidate}"):
        card = Path(finished_run.addresses[edge], "README.md")
        assert card.exists() == (edge in places)
        assert not card.exists() or "another note" in card.read_text()
        folders = {entry.path.partition("/")[0] for entry in finished_run.source(edge).files if "/" in entry.path}
        assert all(finished_run.source(edge).path(folder).is_dir() for folder in folders)


def test_what_an_interrupted_call_left_is_completed(
    finished_run: FinishedRun, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    complete = MlflowClient.set_terminated
    closed = []

    def die_at_the_sixth(client: MlflowClient, run_id: str, *arguments: object) -> None:
        closed.append(run_id)
        if len(closed) == 6:
            raise KeyboardInterrupt
        complete(client, run_id, *arguments)

    monkeypatch.setattr(MlflowClient, "set_terminated", die_at_the_sixth)
    with pytest.raises(KeyboardInterrupt):
        call(finished_run)
    monkeypatch.setattr(MlflowClient, "set_terminated", complete)
    assert [run.info.status for run in seen.runs()].count("FINISHED") == 5
    call(finished_run)
    assert {run.info.status for run in seen.runs()} == {"FINISHED"}
    assert len(seen.children) == 12
    history = seen.client.get_metric_history(seen.children["train[full]"].info.run_id, "loss")
    assert len(history) == 1500


def test_a_new_candidate_takes_the_alias_and_an_old_run_does_not_take_it_back(
    finished_run: FinishedRun, seen: Seen, said: pytest.LogCaptureFixture
) -> None:
    call(finished_run, "full")
    assert "in place of" not in said.text
    call(finished_run, "lora")
    assert "@candidate is version 2 in place of version 1: " in said.text
    assert (seen.candidate, seen.versions) == ("2", ["1", "2"])
    call(finished_run, "full")
    assert (seen.candidate, seen.versions) == ("2", ["1", "2"])
    assert "@candidate stays version 2, which is newer than version 1, that of this run" in said.text
    assert "set_registered_model_alias('tiny-med', 'candidate', '1')" in said.text
    seen.client.set_model_version_tag("tiny-med", "2", "med42.gate", "its gain is too small")
    call(finished_run, "full")
    assert seen.candidate == "1", "a newer one that did not pass is no candidate"


def test_a_new_report_of_the_same_weights_is_a_version_of_its_own_run(finished_run: FinishedRun, seen: Seen) -> None:
    publish_report(finished_run, "second_report")
    for report in ("report", "second_report", "second_report"):
        call(finished_run, report=report)
    assert (seen.candidate, seen.versions) == ("2", ["1", "2"])
    for number in seen.versions:
        version = seen.client.get_model_version("tiny-med", number)
        assert seen.client.get_run(version.run_id).data.tags["med42.run"] == version.tags["med42.run"]
    call(finished_run, report="report")
    assert (seen.candidate, seen.versions) == ("2", ["1", "2"])


def test_a_candidate_whose_weights_fail_with_a_new_report_is_one_no_longer(
    finished_run: FinishedRun, seen: Seen, said: pytest.LogCaptureFixture
) -> None:
    publish_report(finished_run, "second_report")
    call(finished_run)
    call(finished_run, config=CONFIG.model_copy(update={"gate": Gate(min_gain_points=5.1)}), report="second_report")
    assert "version 2 of tiny-med is no candidate, and the alias is taken from version 1" in said.text
    assert (seen.aliases, seen.versions) == ({}, ["1", "2"])
    assert seen.client.get_model_version("tiny-med", "1").tags["med42.gate"] == "passed"


GATES = {
    "min_gain_points": (5.1, "its gain over the base on clean questions is +5 points; asked for is +5.1"),
    "allowed_licences": (
        ["mit", "CC BY 4.0"],
        "licences that register.gate.allowed_licences does not name: 'apache-2.0' (the base model)",
    ),
    "max_leaked_share": (0.09, "the share of leaked questions is 10%; allowed is 9%"),
}


@pytest.mark.parametrize("asked", GATES)
def test_a_model_that_does_not_pass_the_gate_is_registered_and_the_alias_stays(
    asked: str, finished_run: FinishedRun, seen: Seen, said: pytest.LogCaptureFixture
) -> None:
    call(finished_run, "full")
    value, reason = GATES[asked]
    gated = CONFIG.model_copy(update={"gate": Gate.model_validate({asked: value})})
    call(finished_run, "lora", gated)
    assert (seen.candidate, seen.versions) == ("1", ["1", "2"])
    assert seen.client.get_model_version("tiny-med", "2").tags["med42.gate"] == reason
    assert f"version 2 of tiny-med is no candidate, and the alias stays where it is: {reason}" in said.text


def test_a_model_that_passes_the_gate_later_becomes_the_candidate(finished_run: FinishedRun, seen: Seen) -> None:
    strict, mild = (
        CONFIG.model_copy(update={"gate": Gate(min_gain_points=points, max_leaked_share=0.1)}) for points in (5.1, 4.9)
    )
    call(finished_run, "lora", strict)
    call(finished_run, "lora", mild)
    assert (seen.candidate, seen.versions) == ("1", ["1"])
    assert seen.client.get_model_version("tiny-med", "1").tags["med42.gate"] == "passed"


def test_a_candidate_whose_own_gate_fails_later_is_one_no_longer(
    finished_run: FinishedRun, seen: Seen, said: pytest.LogCaptureFixture
) -> None:
    call(finished_run, "full")
    call(finished_run, "lora")
    strict = CONFIG.model_copy(update={"gate": Gate(min_gain_points=5.1)})
    call(finished_run, "lora", strict)
    assert "version 2 of tiny-med is no candidate, and the alias is taken from version 2, which has these" in said.text
    assert seen.aliases == {}
    call(finished_run, "lora", strict)
    assert seen.aliases == {}
    call(finished_run, "full")
    assert seen.candidate == "1"


def test_a_candidate_that_is_worse_than_its_base_is_told(
    finished_run: FinishedRun, said: pytest.LogCaptureFixture
) -> None:
    call(finished_run, "lora")
    assert "worse than its base" not in said.text
    call(finished_run, "full")
    assert "full answers clean questions worse than its base, by 10.0 points" in said.text


def test_a_version_that_somebody_deleted_is_made_again(finished_run: FinishedRun, seen: Seen) -> None:
    call(finished_run)
    seen.client.delete_model_version("tiny-med", "1")
    call(finished_run)
    assert (seen.candidate, seen.versions) == ("2", ["2"])


@pytest.mark.slow
def test_after_the_database_was_deleted_everything_is_registered_again(
    finished_run: FinishedRun, mlflow_home: Path
) -> None:
    """In processes of their own, as the stage runs: SQLAlchemy keeps a deleted file open."""
    code = "import sys, tests.register.test_stage as t; t.call_in_process(*sys.argv[1:])"
    finished_run.package("lora")
    addresses = json.dumps(finished_run.addresses)

    def versions() -> str:
        command = [sys.executable, "-c", code, str(finished_run.scratch), addresses]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    first = versions()
    shutil.rmtree(mlflow_home)
    assert versions() == first == "13 runs, versions ['1']\n"


def call_in_process(scratch: str, addresses: str) -> None:
    from mlflow import MlflowClient

    from med42lib.tracking.address import tracking_address

    call(FinishedRun("", Path(scratch), json.loads(addresses)))
    seen = Seen(MlflowClient(tracking_address()))
    sys.stdout.write(f"{len(seen.runs())} runs, versions {seen.versions}\n")


@pytest.mark.slow
def test_four_runs_that_open_a_fresh_database_at_once_record_one(finished_run: FinishedRun, mlflow_home: Path) -> None:
    from mlflow import MlflowClient

    finished_run.package("lora")
    shutil.rmtree(mlflow_home)
    at_once(lambda: call(finished_run))
    seen = Seen(MlflowClient(f"sqlite:///{mlflow_home}/mlflow.db"))
    assert len(seen.client.search_experiments(filter_string=f"name = '{CONFIG.experiment}'")) == 1
    assert len(seen.children) == 12
    assert len(seen.runs()) == 13
    assert (seen.candidate, seen.versions) == ("1", ["1"])


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_is_named_and_the_next_call_goes_on(finished_run: FinishedRun, mlflow_home: Path) -> None:
    finished_run.package("lora")
    (mlflow_home / "mlflow.db").unlink()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(mlflow_home)]
    if subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        with pytest.raises(NoSpaceError, match=r"no space left while writing MLflow's sqlite:///.*mlflow\.db"):
            call(finished_run)
        subprocess.run(["mount", "-o", "remount,size=20m", str(mlflow_home)], check=True)
        call(finished_run)
        from mlflow import MlflowClient

        assert Seen(MlflowClient(f"sqlite:///{mlflow_home}/mlflow.db")).versions == ["1"]
    finally:
        subprocess.run(["umount", "--lazy", str(mlflow_home)], check=True)


def test_the_summary_tells_how_to_load_the_model_and_see_the_runs(
    finished_run: FinishedRun, said: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    call(finished_run)
    assert "models:/tiny-med@candidate is version 1" in said.text
    assert "mlflow ui --workers 1 --backend-store-uri" in said.text
    assert capfd.readouterr().out == "", "MLflow itself is kept quiet"


def test_registered_json_says_the_same_in_a_new_database_and_when_another_run_has_the_alias(
    finished_run: FinishedRun, seen: Seen
) -> None:
    first = call(finished_run, "full")
    call(finished_run, "lora")
    assert seen.candidate == "2"
    assert call(finished_run, "full") == first
    content = json.loads(first)
    assert content.keys() == {"model", "source", "weights"}
    assert content["source"] == seen.client.get_model_version("tiny-med", "1").source


def test_nothing_is_recorded_where_nothing_is_to_be_registered(
    finished_run: FinishedRun, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    content = json.loads(call(finished_run, config=CONFIG.model_copy(update={"enabled": False})))
    assert content == {"enabled": False}
    assert "nothing is recorded or registered" in said.text


def test_an_input_that_was_cleared_away_is_named_and_the_rest_recorded(
    finished_run: FinishedRun, seen: Seen, said: pytest.LogCaptureFixture
) -> None:
    finished_run.package("lora")
    shutil.rmtree(finished_run.addresses["items"])
    call(finished_run)
    assert "not recorded in MLflow: input 'items'" in said.text
    assert "benchmarks" not in seen.children
    assert "train[lora]" in seen.children


def test_a_deleted_experiment_is_explained(finished_run: FinishedRun, seen: Seen) -> None:
    call(finished_run)
    seen.client.delete_experiment(seen.parent.info.experiment_id)
    with pytest.raises(TrackingError, match=r"'med42 tests' was deleted.*mlflow experiments restore"):
        call(finished_run)


def test_a_plain_folder_is_no_report(finished_run: FinishedRun, tmp_path: Path) -> None:
    finished_run.package("lora")
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "report.html").write_text("mine")
    finished_run.addresses["report"] = str(tmp_path / "plain")
    with pytest.raises(DataError, match="is not the output of a stage"):
        call(finished_run)


def test_another_stages_output_is_no_package(finished_run: FinishedRun, tmp_path: Path) -> None:
    full, report = finished_run.source("full"), finished_run.source("report")
    with pytest.raises(DataError, match=r"made by 'train' .* records no setting 'candidate'; check that the address"):
        register(
            CONFIG,
            trained={"full": full},
            package=full,
            report=report,
            registered=Target(tmp_path / "out"),
            context=finished_run.context,
        )


def test_a_local_store_and_a_server_are_refused_before_mlflow_is_asked(
    finished_run: FinishedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with pytest.raises(TrackingError, match="use --store s3://bucket/prefix"):
        call(finished_run)


def test_a_candidate_that_was_not_given_is_named(finished_run: FinishedRun) -> None:
    finished_run.package("full")
    with pytest.raises(DataError, match="package_model chose 'full', but the models given are lora"):
        register(
            CONFIG,
            trained={"lora": finished_run.source("lora")},
            package=finished_run.source("package_full"),
            report=finished_run.source("report"),
            registered=Target(finished_run.scratch),
            context=finished_run.context,
        )
