import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2

from components.pods import Pod, task_config
from med42lib.commands.check import ADDRESSES, read_parameters
from med42lib.commands.main import main
from med42lib.core import environment
from med42lib.core.errors import ConfigError
from med42lib.formats.run_settings import read_settings
from med42lib.spec import load_spec
from pipelines.arguments import pipeline_arguments
from tests.conftest import REPOSITORY

SPECS = sorted((REPOSITORY / "pipelines/specs").glob("*.yaml"))
DEMO = REPOSITORY / "pipelines/specs/demo.yaml"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MED42_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MED42_PROCESSES_PER_NODE", "1")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(environment, "SECONDS_UNTIL_LET_THROUGH", 0.0)
    monkeypatch.setenv("MED42_TASK_CONFIG", "{}")  # which `check` sets; so it is as before after the test
    monkeypatch.delenv("MED42_TASK_CONFIG")


def through_kubeflow(values: dict[str, Any]) -> dict[str, Any]:
    """What becomes of a structure on its way: protocol buffers know no whole numbers."""
    message = struct_pb2.Struct()
    message.update(values)
    return dict(json_format.MessageToDict(message))


def parameters(to: object, **changed: Any) -> dict[str, Any]:
    given = pipeline_arguments(load_spec(DEMO))
    given |= {"spec": through_kubeflow(given["spec"]), "models": ["full", "lora"], "store": str(to)}
    given |= {"shards": {"decontaminate": 1.0, "evaluate": 1.0}, "train_hours": 528.0}
    given |= {"train_task_config": {}, "scoring_memory": {}}
    return {**given, **changed}


def check(tmp_path: Path, given: dict[str, Any]) -> int:
    outputs = {"parameters": {"settings": {"outputFile": str(tmp_path / "out/settings")}}}
    asked = {"inputs": {"parameterValues": given}, "outputs": outputs}
    return main(["check", "--executor-input", json.dumps(asked)])


@pytest.mark.parametrize("path", SPECS, ids=[path.stem for path in SPECS])
def test_a_spec_that_went_through_kubeflow_is_the_one_that_was_compiled(path: Path) -> None:
    spec = load_spec(path)
    given = pipeline_arguments(spec)
    addresses = {name: given[name] for name in ADDRESSES}
    found = read_parameters(through_kubeflow(given["spec"]), addresses, models=list(spec.train), shards=spec.shards())
    assert found == spec


def test_settings_are_put_where_the_stages_read_their_sections(tmp_path: Path) -> None:
    assert check(tmp_path, parameters(tmp_path / "store")) == 0
    address = (tmp_path / "out/settings").read_text()
    assert address.startswith(f"{tmp_path}/store/settings/")
    spec = load_spec(DEMO)
    assert read_settings(address, "train.lora") == spec.train["lora"].model_dump(mode="json")
    assert read_settings(address, "register") == spec.register_.model_dump(mode="json")
    assert read_settings(address, "inputs") == spec.inputs.model_dump()


def test_every_problem_is_listed_at_once_whoever_edited_the_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = parameters(tmp_path / "store")
    given["spec"]["train"]["lora"]["lerning_rate"] = 1.0
    given["spec"]["package_model"]["candidate"] = "fulll"
    given["spec"]["evaluate"]["batch_size"] = 0.0
    assert check(tmp_path, given) == 2
    shown = capsys.readouterr().err
    for part in ("train.lora.lerning_rate", "package_model.candidate", "evaluate.batch_size"):
        assert part in shown
    assert not (tmp_path / "store").exists()


def refused(given: dict[str, Any]) -> str:
    addresses = {name: given[name] for name in ADDRESSES}
    with pytest.raises(ConfigError) as caught:
        read_parameters(given["spec"], addresses, models=given["models"], shards=given["shards"])
    return str(caught.value)


def test_models_that_the_pipeline_was_not_compiled_for_are_refused() -> None:
    given = parameters("s3://bucket/runs", models=["full", "lora_r64"])
    assert "train: names full, lora, but this pipeline trains full, lora_r64" in refused(given)


def test_seeds_written_into_the_form_are_the_models_of_a_pipeline_compiled_with_as_many() -> None:
    given = parameters("s3://bucket/runs")
    given["spec"]["train"]["lora"]["seeds"] = 2.0
    addresses = {name: given[name] for name in ADDRESSES}
    found = read_parameters(given["spec"], addresses, models=["full", "lora", "lora_seed2"], shards=given["shards"])
    assert found == load_spec(DEMO, ["train.lora.seeds=2"])
    assert "names full, lora, lora_seed2, but this pipeline trains full, lora" in refused(given)


@pytest.mark.parametrize("section", ["decontaminate", "evaluate"])
def test_shards_that_the_pipeline_was_not_compiled_for_are_refused(section: str) -> None:
    given = parameters("s3://bucket/runs")
    given["spec"][section]["shards"] = 8.0
    assert f"{section}.shards: is 8, but this pipeline has 1" in refused(given)
    given["shards"][section] = 4.0
    del given["spec"][section]["shards"]
    assert f"{section}.shards: is 1, but this pipeline has 4" in refused(given)


def test_each_shard_has_a_section_of_its_own(tmp_path: Path) -> None:
    given = parameters(tmp_path / "store", shards={"decontaminate": 2.0, "evaluate": 3.0})
    given["spec"]["decontaminate"] |= {"shards": 2.0, "text": "request"}
    given["spec"]["evaluate"] |= {"shards": 3.0, "limit": 7.0}
    assert check(tmp_path, given) == 0
    address = (tmp_path / "out/settings").read_text()
    assert read_settings(address, "embed_questions.2") == {"text": "request", "shard": 2, "shards": 2}
    of_shard = read_settings(address, "answer_questions.3")
    assert (of_shard["shard"], of_shard["shards"], of_shard["limit"]) == (3, 3, 7)


@pytest.mark.parametrize("name", ADDRESSES)
def test_of_a_hub_an_offline_cluster_takes_the_base_model_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    given = parameters("s3://bucket/runs", **{name: f"hub:owner/name@{'a' * 40}"})
    addresses = {name: given[name] for name in ADDRESSES}
    read_parameters(given["spec"], addresses, models=given["models"], shards=given["shards"])  # not in a pod
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    if name == "base_model":
        read_parameters(given["spec"], addresses, models=given["models"], shards=given["shards"])
    else:
        assert f"inputs.{name}: is on a hub" in refused(given)
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        read_parameters(given["spec"], addresses, models=given["models"], shards=given["shards"])


def test_inputs_inside_the_spec_would_have_no_effect_and_are_refused() -> None:
    given = parameters("s3://bucket/runs")
    given["spec"]["inputs"] = {"encoder": "s3://bucket/encoder"}
    assert "inputs: are parameters of their own: training_data" in refused(given)


def test_a_number_whose_last_digits_kubeflow_has_lost_is_refused() -> None:
    given = parameters("s3://bucket/runs")
    given["spec"]["pack"]["seed"] = float(2**53)
    assert "pack.seed: Kubeflow rounds" in refused(given)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"spec": "text"}, "spec: is required as an object"),
        ({"models": None}, "models: is required as a list"),
        ({"shards": 4.0}, "shards: is required as an object"),
        ({"train_hours": None}, "train_hours: is required as a number"),
        ({"train_task_config": None}, "train_task_config: is required as an object"),
        ({"scoring_memory": None}, "scoring_memory: is required as an object"),
        ({"store": ""}, "store: is required as text"),
        ({"encoder": 1.0}, "encoder: is required as text"),
    ],
)
def test_parameters_of_another_kind_are_named(
    changed: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path, parameters(tmp_path / "store", **changed)) == 2
    assert said in capsys.readouterr().err


def test_inputs_that_are_not_there_are_all_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = parameters(tmp_path / "store", training_data=f"{tmp_path}/none", encoder=f"{tmp_path}/neither")
    assert check(tmp_path, given) == 3
    shown = capsys.readouterr().err
    assert "inputs.training_data" in shown
    assert "inputs.encoder" in shown


def test_a_batch_is_held_against_the_processes_that_will_train(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    template = REPOSITORY / "k8s/base/job_template.yaml"
    monkeypatch.setenv("MED42_LAUNCHER", "pytorchjob")
    monkeypatch.setenv("MED42_JOB_TEMPLATE", str(template))
    assert check(tmp_path, parameters(tmp_path / "store")) == 2
    assert "train.full.global_batch_size" in capsys.readouterr().err


@pytest.mark.parametrize(("gpus", "refused"), [("2", False), ("3", True)])
def test_the_gpus_that_the_pipeline_gives_to_train_are_its_processes_whatever_the_template_says(
    gpus: str, refused: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("med42lib.commands.check.check_driver", lambda _: None)
    monkeypatch.setenv("MED42_LAUNCHER", "pytorchjob")
    monkeypatch.setenv("MED42_JOB_TEMPLATE", str(REPOSITORY / "k8s/base/job_template.yaml"))
    pod = task_config(Pod(hours=1, gpus=int(gpus)))
    code = check(tmp_path, parameters(tmp_path / "store", train_task_config=pod))
    assert code == (2 if refused else 0)
    assert ("train.full.global_batch_size" in capsys.readouterr().err) == refused


def test_on_a_host_what_the_user_gives_to_train_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("med42lib.commands.check.check_driver", lambda _: None)
    monkeypatch.setenv("MED42_LAUNCHER", "pytorchjob")
    monkeypatch.setenv("MED42_JOB_TEMPLATE", str(REPOSITORY / "k8s/base/job_template.yaml"))
    monkeypatch.setenv("MED42_TASK_CONFIG", json.dumps(task_config(Pod(hours=1, gpus=2))))
    pods = task_config(Pod(hours=1, gpus=3))
    assert check(tmp_path, parameters(tmp_path / "store", train_task_config=pods)) == 0


def test_the_nodes_that_the_pipeline_gives_to_train_are_held_against_the_spec(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("med42lib.commands.check.check_driver", lambda _: None)
    monkeypatch.setenv("MED42_LAUNCHER", "pytorchjob")
    monkeypatch.setenv("MED42_JOB_TEMPLATE", str(REPOSITORY / "k8s/base/job_template.yaml"))
    pod = task_config(Pod(hours=1, gpus=2, node_selector={"nvidia.com/gpu.product": "Tesla-V100-SXM3-32GB"}))
    given = parameters(tmp_path / "store", train_task_config=pod)
    given["spec"]["train"]["full"]["precision"] = "bfloat16"
    assert check(tmp_path, given) == 2
    assert "train.full.precision: is bfloat16, which v100-32 does not compute" in capsys.readouterr().err


def test_a_model_that_does_not_fit_the_pod_that_scores_it_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = parameters(tmp_path / "store", scoring_memory={"evaluate": ["1Mi", "4Mi"]})
    assert check(tmp_path, given) == 2
    assert "evaluate.precision: the step evaluate loads 1 GiB of weights" in capsys.readouterr().err
    given["scoring_memory"] = {"evaluate": ["1Mi", "64Mi"]}
    assert check(tmp_path, given) == 0


@pytest.mark.slow
def test_a_cluster_without_mlflow_is_refused_before_anything_is_spent_unless_nothing_is_registered(
    tmp_path: Path, bucket: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    given = parameters(f"s3://{bucket}/runs")
    assert check(tmp_path, given) == 10
    shown = capsys.readouterr().err
    assert "MLFLOW_TRACKING_URI is not set" in shown
    assert shown.splitlines()[-1].startswith("MLFLOW_TRACKING_URI is not set")
    given["spec"]["register"]["enabled"] = False
    assert check(tmp_path, given) == 0
    address = (tmp_path / "out/settings").read_text()
    assert read_settings(address, "register")["enabled"] is False
