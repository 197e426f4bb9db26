from pathlib import Path
from typing import Any

import pytest
import yaml

from med42lib.commands.k8s import RESULT_ANNOTATION, rendered_jobs
from med42lib.commands.main import main
from med42lib.core.errors import ConfigError
from med42lib.spec import RunSpec, load_spec
from med42lib.train.job import TrainingJob
from med42lib.train.launchers.template import JobTemplate
from tests.conftest import REPOSITORY

DEMO = REPOSITORY / "pipelines/specs/demo.yaml"
TEMPLATE = REPOSITORY / "k8s/base/job_template.yaml"
IMAGE = "registry.example/med42-train@sha256:" + "0" * 64
ADDRESSES = {"packed": "s3://bucket/packed", "model": "s3://bucket/model", "store": "s3://bucket/runs"}
OPTIONS = [f"--image={IMAGE}", *(f"--{name}={address}" for name, address in ADDRESSES.items())]


def template(**others: object) -> JobTemplate:
    values = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))
    return JobTemplate.model_validate({**values, "processes_per_node": 1, **others}).with_image(IMAGE)


def jobs(spec: RunSpec, **others: str) -> dict[str, Any]:
    return {name: job for name, [job] in rendered_jobs(spec, template(), **{**ADDRESSES, **others})}


def test_each_model_of_the_spec_becomes_a_job_that_holds_all_it_needs() -> None:
    spec = load_spec(DEMO)
    made = jobs(spec)
    assert list(made) == ["full", "lora"]
    for name, job in made.items():
        [container] = job["spec"]["pytorchReplicaSpecs"]["Master"]["template"]["spec"]["containers"]
        option, text = container["args"]
        assert option == "--job-json"
        training = TrainingJob.from_json(text)
        assert training.config == spec.train[name]
        assert (training.packed, training.model, training.store) == tuple(ADDRESSES.values())
        assert job["metadata"]["annotations"][RESULT_ANNOTATION] == f"{training.upload.address}/trained"


def test_jobs_of_equal_settings_are_equal_and_of_others_have_other_names_and_results() -> None:
    spec = load_spec(DEMO)
    assert jobs(spec) == jobs(spec)
    changed = [load_spec(DEMO, ["train.full.seed=43"])]
    others = [jobs(changed[0])["full"], jobs(spec, model="s3://bucket/another")["full"], jobs(spec)["full"]]
    assert len({job["metadata"]["name"] for job in others}) == 3
    assert len({job["metadata"]["annotations"][RESULT_ANNOTATION] for job in others}) == 3


def test_the_command_writes_a_file_for_each_and_prints_where_the_result_will_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["k8s", "render", str(DEMO), "--template", str(TEMPLATE), *OPTIONS, "--output", str(tmp_path)]
    assert main([*command, "--set", "train.full.micro_batch_size=2", "--set", "train.lora.micro_batch_size=2"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo-full.yaml", "demo-lora.yaml"]
    job = yaml.safe_load((tmp_path / "demo-lora.yaml").read_text())
    assert job["metadata"]["annotations"][RESULT_ANNOTATION] in capsys.readouterr().out


def test_as_a_trainjob_the_same_is_trained_to_the_same_address_and_the_file_says_that_it_is_experimental(
    tmp_path: Path,
) -> None:
    command = ["k8s", "render", str(DEMO), "--template", str(TEMPLATE), *OPTIONS, "--output"]
    fitting = [f"--set=train.{name}.micro_batch_size=2" for name in ("full", "lora")]
    assert main([*command, str(tmp_path / "2"), "--as", "trainjob", *fitting]) == 0
    assert main([*command, str(tmp_path / "1"), *fitting]) == 0
    text = (tmp_path / "2/demo-lora.yaml").read_text()
    assert text.startswith("# Experimental")
    runtime, job = yaml.safe_load_all(text)
    other = yaml.safe_load((tmp_path / "1/demo-lora.yaml").read_text())
    assert (runtime["kind"], job["kind"], other["kind"]) == ("TrainingRuntime", "TrainJob", "PyTorchJob")
    assert job["metadata"] == other["metadata"]
    [pods] = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    [container] = pods["template"]["spec"]["template"]["spec"]["containers"]
    [same] = other["spec"]["pytorchReplicaSpecs"]["Master"]["template"]["spec"]["containers"]
    assert (container["command"], container["args"]) == (same["command"], same["args"])


def test_a_batch_that_the_templates_processes_do_not_share_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["k8s", "render", str(DEMO), "--template", str(TEMPLATE), *OPTIONS, "--output", str(tmp_path)]
    assert main(command) == ConfigError.exit_code
    assert "train.full.global_batch_size" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("store", ["runs", f"hub:owner/name@{40 * '0'}"])
def test_what_nodes_cannot_use_is_refused(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    smoke = REPOSITORY / "pipelines/specs/smoke.yaml"
    here = ["--packed=data/packed", f"--store={store}"]
    command = ["k8s", "render", str(smoke), "--template", str(TEMPLATE), *OPTIONS, *here]
    fitting = [f"--set=train.{name}.{field}" for name in ("full", "lora") for field in ("global_batch_size=16",)]
    assert main([*command, *fitting, "--output", str(tmp_path)]) == ConfigError.exit_code
    said = capsys.readouterr().err
    assert "--packed: is no address that a cluster's nodes reach: data/packed" in said
    assert f"--store: is no address that a cluster's nodes can write to: {store}" in said


@pytest.mark.parametrize(("options", "said"), [([], "is required: the run's id"), (["--run", "a b"], "given: 'a b'")])
def test_what_is_stopped_has_to_be_named(
    options: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MED42_RUN", raising=False)
    assert main(["k8s", "stop", *options]) == ConfigError.exit_code
    assert said in capsys.readouterr().err


def test_an_exit_handler_stops_nothing_where_no_training_was_launched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MED42_LAUNCHER", raising=False)
    monkeypatch.setattr("med42lib.commands.k8s.Cluster.connect", lambda: pytest.fail("it asked a cluster"))
    assert main(["k8s", "stop", "--if-launched", "--run", "abc"]) == 0
    assert "nothing to stop" in capsys.readouterr().out
