import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from med42lib.catalogue import STAGES
from med42lib.commands.main import main
from med42lib.commands.stage import request_from_kubeflow
from med42lib.core.errors import ClusterUnavailable, ConfigError, StoreUnavailable, TrackingUnavailable
from med42lib.engine.context import TrackedAs
from med42lib.engine.runner import Result, run_stage
from med42lib.formats.run_settings import put_settings
from med42lib.spec import load_spec
from tests.conftest import REPOSITORY

DEMO = str(REPOSITORY / "pipelines/specs/demo.yaml")
PACK = STAGES["pack"]
DATA = "package:med42lib/demo/data/training"


@pytest.fixture
def settings(tmp_path: Path) -> str:
    """The address of a run's settings."""
    sections = {"pack": {"n": 1}, "train": {"lora": {"n": 2}}, "package_model": {}}
    return put_settings(str(tmp_path / "store"), {**sections, "register": {"experiment": "e", "model_name": "m"}})


def test_a_tasks_parameters_become_a_request_and_unknown_ones_are_ignored(settings: str) -> None:
    addresses = {"dataset": "s3://data", "model": "s3://model"}
    given = {"settings": settings, "section": "pack", "store": "s3://bucket/x", **addresses}
    request = request_from_kubeflow(PACK, {**given, "other": 1.0})
    assert request.config == {"n": 1}
    assert (request.store, dict(request.sources)) == ("s3://bucket/x", addresses)
    assert request_from_kubeflow(PACK, {**given, "section": "train.lora"}).config == {"n": 2}


def test_wrong_settings_of_a_model_are_told_with_its_name(settings: str) -> None:
    given = {"settings": settings, "section": "train.lora", "packed": "y", "model": "z"}
    request = request_from_kubeflow(STAGES["train"], {**given, "store": str(Path(settings).parents[1])})
    with pytest.raises(ConfigError, match=r"settings of train\.lora"):
        run_stage(STAGES["train"], request)


def test_a_training_is_told_what_it_is_called_in_mlflow_unless_nothing_is_to_be_registered(tmp_path: Path) -> None:
    register = {"experiment": "e", "model_name": "m"}
    given = {"section": "train.lora", "store": "x", "packed": "y", "model": "z"}
    for enabled in (True, False):
        values = {"train": {"lora": {}}, "register": {**register, "enabled": enabled}}
        settings = put_settings(str(tmp_path), values)
        tracked = request_from_kubeflow(STAGES["train"], {**given, "settings": settings}).tracked
        assert tracked == (TrackedAs("e", Path(settings).stem, "train[lora]") if enabled else None)


def test_missing_and_null_parameters_are_listed_alike() -> None:
    with pytest.raises(ConfigError) as caught:
        request_from_kubeflow(PACK, {"settings": "x/y.json", "section": "pack", "store": None, "model": 3.0})
    assert [problem.where for problem in caught.value.problems] == ["store", "dataset", "model"]


REFERENCE = "{{$.inputs.parameters['pipelinechannel--train-2-trained']}}"


@pytest.mark.parametrize("trained", [{"lora": "s3://lora"}, '{"lora": "s3://lora"}', {"lora": REFERENCE}, {}, "{}"])
def test_addresses_by_name_come_as_an_object_as_text_or_as_references(trained: object, settings: str) -> None:
    others = {"pipelinechannel--train-2-trained": "s3://lora", "settings": settings, "section": "package_model"}
    given = {"store": "s3://bucket/x", "base": "s3://base", "trained": trained, **others}
    request = request_from_kubeflow(STAGES["package_model"], given)
    expected = {"trained.lora": "s3://lora"} if "lora" in str(trained) else {}
    assert dict(request.addresses()) == {"base": "s3://base", **expected}


@pytest.mark.parametrize("trained", [None, "[1]", {"lora": 1}, {"lora": REFERENCE}, 3.0])
def test_what_are_no_addresses_by_name_is_refused(trained: object, settings: str) -> None:
    given = {"settings": settings, "section": "package_model", "store": "x", "base": "y", "trained": trained}
    with pytest.raises(ConfigError):
        request_from_kubeflow(STAGES["package_model"], given)


@pytest.mark.parametrize("odd", [None, [], "x", 1, True, [{}], "\x1b[2J" * 10_000])
@pytest.mark.parametrize(
    "shape",
    [
        '{"inputs": ODD}',
        '{"inputs": {"parameterValues": ODD}}',
        '{"inputs": {"parameterValues": {"settings": ODD, "section": ODD, "store": ODD, "dataset": ODD}}}',
        '{"inputs": GOOD, "outputs": ODD}',
        '{"inputs": GOOD, "outputs": {"parameters": ODD}}',
        '{"inputs": GOOD, "outputs": {"parameters": {"packed": ODD}}}',
        '{"inputs": GOOD, "outputs": {"parameters": {"unknown": {"outputFile": "/tmp/x"}}}}',
        '{"inputs": GOOD, "outputs": {"outputFile": null}}',
        '{"inputs": GOOD, "outputs": {"parameters": {"packed": {"outputFile": 5}}}}',
        '{"inputs": GOOD, "outputs": {"artifacts": ODD}}',
        '{"inputs": GOOD, "outputs": {"artifacts": {"unknown": {"artifacts": [{"uri": "/tmp/x"}]}}}}',
    ],
)
def test_an_executor_input_of_another_shape_is_a_short_error_before_anything_is_run(
    shape: str, odd: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, settings: str
) -> None:
    monkeypatch.setattr("med42lib.commands.stage.run_stage", lambda *_: pytest.fail("it ran"))
    good = {"settings": settings, "section": "pack", "store": "x", "dataset": "y", "model": "z"}
    text = shape.replace("ODD", json.dumps(odd)).replace("GOOD", json.dumps({"parameterValues": good}))
    assert main(["stage", "pack", "--executor-input", text]) in (2, 3)
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert "\x1b" not in shown
    assert len(shown) < 2_000


def test_in_a_container_outputs_and_what_is_shown_of_them_go_where_kubeflow_asks(tmp_path: Path) -> None:
    spec = load_spec(Path(DEMO)).model_dump(mode="json", by_alias=True)
    settings = put_settings(str(tmp_path / "store"), spec)
    uri = str(tmp_path / "root/card")
    asked = {
        "inputs": {
            "parameterValues": {
                "settings": settings,
                "section": "assemble",
                "store": str(tmp_path / "store"),
                "data": DATA,
            }
        },
        "outputs": {
            "parameters": {"dataset": {"outputFile": str(tmp_path / "out/dataset")}},
            "artifacts": {"card": {"artifacts": [{"name": "card", "uri": uri, "metadata": {}}]}},
            "outputFile": str(tmp_path / "out/all.json"),
        },
    }
    (tmp_path / "input.json").write_text(json.dumps(asked))
    assert main(["stage", "assemble", "--executor-input", f"@{tmp_path}/input.json"]) == 0
    address = (tmp_path / "out/dataset").read_text()
    assert Path(uri).read_text() == (Path(address) / "README.md").read_text()
    written = json.loads((tmp_path / "out/all.json").read_text())
    assert written["parameterValues"] == {"dataset": address}
    assert written["artifacts"]["card"]["artifacts"] == [{"name": "card", "uri": uri, "metadata": {}}]


def test_what_a_person_set_on_the_task_of_a_training_reaches_the_launcher(
    monkeypatch: pytest.MonkeyPatch, settings: str
) -> None:
    monkeypatch.delenv("MED42_TASK_CONFIG", raising=False)
    seen: list[str | None] = []

    def run(*_: object) -> Result:
        seen.append(os.environ.pop("MED42_TASK_CONFIG", None))
        return Result({"trained": "s3://t"}, reused=True)

    monkeypatch.setattr("med42lib.commands.stage.run_stage", run)
    given = {"settings": settings, "section": "train.lora", "store": "x", "packed": "y", "model": "z"}
    for task_config in ({"resources": {"limits": {"nvidia.com/gpu": "8"}}}, None):
        asked = {"inputs": {"parameterValues": {**given, "task_config": task_config}}}
        assert main(["stage", "train", "--executor-input", json.dumps(asked)]) == 0
    assert seen == ['{"resources": {"limits": {"nvidia.com/gpu": "8"}}}', None]


@pytest.mark.parametrize("error", [StoreUnavailable, ClusterUnavailable, TrackingUnavailable])
def test_in_a_pod_a_stage_waits_for_a_server_that_does_not_answer(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch, settings: str
) -> None:
    calls: list[float] = []

    def run(*_: object) -> Result:
        calls.append(0)
        if len(calls) < 4:
            raise error("no answer")
        return Result({"packed": "s3://p"}, reused=False)

    monkeypatch.setattr("med42lib.commands.stage.run_stage", run)
    monkeypatch.setattr("med42lib.commands.stage.time.sleep", calls.append)
    given = {"settings": settings, "section": "pack", "store": "x", "dataset": "y", "model": "z"}
    asked = json.dumps({"inputs": {"parameterValues": given}})
    assert main(["stage", "pack", "--executor-input", asked]) == error("").exit_code  # type: ignore[attr-defined]
    assert calls == [0]
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert main(["stage", "pack", "--executor-input", asked]) == 0
    assert calls == [0, 0, 30, 0]


def test_a_stage_runs_by_hand_and_prints_where_its_outputs_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["stage", "assemble", "--spec", DEMO, "--store", str(tmp_path), "--input", f"data={DATA}"]
    assert main(command) == 0
    address = json.loads(capsys.readouterr().out)["dataset"]
    assert (Path(address) / "examples.parquet").is_file()
    assert main(command) == 0
    assert "reused" in capsys.readouterr().err


def test_by_hand_all_missing_inputs_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stage", "pack", "--input", "modle=x"]) == 2
    shown = capsys.readouterr().err
    for part in ("--input dataset: is required", "--input model: is required", "no such input", "--spec"):
        assert part in shown


def test_by_hand_a_models_address_is_given_under_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("full", "base"):
        (tmp_path / name / "model").mkdir(parents=True)
        (tmp_path / name / "model/weights.safetensors").write_text(name)
    (tmp_path / "full/MLmodel").write_text("flavors: {}")
    inputs = ["--input", f"base={tmp_path}/base", "--input", f"trained.full={tmp_path}/full"]
    assert main(["stage", "package_model", "--spec", DEMO, "--store", str(tmp_path / "store"), *inputs]) == 0
    address = json.loads(capsys.readouterr().out)["package"]
    assert json.loads((Path(address) / "package.json").read_text())["candidate"] == "full"
    assert main(["stage", "package_model", "--spec", DEMO, "--input", "base=x", "--input", "trained=y"]) == 2
    assert "--input trained: package_model has no such input; it has base, trained.NAME" in capsys.readouterr().err


def test_a_section_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "stage",
        "train",
        "--spec",
        DEMO,
        "--section",
        "train.qlora",
        "--input",
        "packed=x",
        "--input",
        "model=y",
    ]
    assert main(command) == 2
    assert "train.qlora: is not a section of the spec; there are full, lora" in capsys.readouterr().err


def test_of_several_models_one_has_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["stage", "train", "--spec", DEMO, "--input", "packed=x", "--input", "model=y"]
    assert main(command) == 2
    assert "--section: is required; there are train.full, train.lora" in capsys.readouterr().err
    inputs = [word for edge in ("items", "dataset", "encoder") for word in ("--input", f"{edge}=x")]
    assert main(["stage", "embed_questions", "--spec", DEMO, *inputs]) == 2
    assert "--section: is required; there are none" in capsys.readouterr().err
    inputs = [word for edge in STAGES["answer_questions"].sources for word in ("--input", f"{edge}=x")]
    assert main(["stage", "answer_questions", "--spec", DEMO, "--set", "evaluate.shards=2", *inputs]) == 2
    assert "--section: is required; there are answer_questions." in capsys.readouterr().err


def test_the_only_model_need_not_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lora = "{method: lora, learning_rate: 1, warmup_steps: 0, epochs: 1, global_batch_size: 8, seed: 1}"
    one = ["--set", f"train={{lora: {lora}}}", "--set", "report.compare=[]", "--set", "package_model.candidate=lora"]
    inputs = ["--input", f"packed={tmp_path}/gone", "--input", "model=y", "--store", str(tmp_path / "store")]
    assert main(["stage", "train", "--spec", DEMO, *one, *inputs]) == 3
    assert f"{tmp_path}/gone does not exist" in capsys.readouterr().err


def test_in_json_every_line_of_a_stage_says_where_it_is_from(tmp_path: Path) -> None:
    environment = {**os.environ, "MED42_LOG": "json", "MED42_LOG_PLACE": '{"run": "nightly"}'}
    command = [sys.executable, "-m", "med42lib", "stage", "benchmarks", "--spec", DEMO, "--store", str(tmp_path)]

    def lines(benchmarks: str) -> list[dict[str, str]]:
        arguments = [*command, "--input", f"data={benchmarks}"]
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
        return [json.loads(line) for line in done.stderr.splitlines()]

    for finished in lines(DATA.replace("training", "benchmarks")):
        assert (finished["run"], finished["stage"]) == ("nightly", "benchmarks")
    assert finished["message"].startswith("finished in ")
    [sealed] = (tmp_path / "benchmarks").glob("*/*/items")
    assert sealed.parts[-3:-1] == (finished["key"], finished["attempt"])
    *_, error = lines(str(tmp_path / "token=hf_abcdefghijkl"))
    assert (error["level"], error["stage"], error["run"]) == ("ERROR", "benchmarks", "nightly")
    assert "token=***" in error["message"]
