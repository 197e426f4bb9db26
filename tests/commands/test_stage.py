import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from med42lib.catalogue import STAGES
from med42lib.commands.main import main
from med42lib.commands.stage import outputs_for_kfp, request_from_kfp, write_kfp_outputs
from med42lib.core.errors import ConfigError
from med42lib.engine.runner import Result
from tests.conftest import REPOSITORY

DEMO = str(REPOSITORY / "pipelines/specs/demo.yaml")
PACK = STAGES["pack"]
DATA = "package:med42lib/demo/data/training"


def executor_input(**parameters: object) -> dict[str, object]:
    return {"inputs": {"parameterValues": parameters}}


def test_kubeflows_input_becomes_a_request_and_unknown_parameters_are_ignored() -> None:
    asked = executor_input(config='{"n": 1}', store="s3://bucket/x", dataset="s3://data", model="s3://model", other=1.0)
    request = request_from_kfp(PACK, asked)
    assert request.config == {"n": 1}
    assert (request.store, dict(request.sources)) == ("s3://bucket/x", {"dataset": "s3://data", "model": "s3://model"})


def test_missing_and_null_parameters_are_listed_alike() -> None:
    with pytest.raises(ConfigError) as caught:
        request_from_kfp(PACK, executor_input(config="{}", store=None, model=3.0))
    assert [problem.where for problem in caught.value.problems] == ["store", "dataset", "model"]


REFERENCE = "{{$.inputs.parameters['pipelinechannel--train-2-trained']}}"


@pytest.mark.parametrize("trained", [{"lora": "s3://lora"}, '{"lora": "s3://lora"}', {"lora": REFERENCE}, {}, "{}"])
def test_addresses_by_name_come_as_an_object_as_text_or_as_references(trained: object) -> None:
    others = {"pipelinechannel--train-2-trained": "s3://lora"}
    asked = executor_input(config="{}", store="s3://bucket/x", base="s3://base", trained=trained, **others)
    request = request_from_kfp(STAGES["package_model"], asked)
    expected = {"trained.lora": "s3://lora"} if "lora" in str(trained) else {}
    assert dict(request.addresses()) == {"base": "s3://base", **expected}


@pytest.mark.parametrize("trained", [None, "[1]", {"lora": 1}, {"lora": REFERENCE}, 3.0])
def test_what_are_no_addresses_by_name_is_refused(trained: object) -> None:
    with pytest.raises(ConfigError):
        request_from_kfp(STAGES["package_model"], executor_input(config="{}", store="x", base="y", trained=trained))


def test_settings_that_are_no_json_object_are_shown() -> None:
    for config in ("{", "[1]"):
        with pytest.raises(ConfigError, match="JSON"):
            request_from_kfp(PACK, executor_input(config=config, store="x", dataset="y", model="z"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": ' + "[" * 100_000, "cannot be read"),
        ('{"a": ' + "1" * 5_000 + "}", "cannot be read"),
        ("x" * 10**6, "cannot be read"),
        ("[" + "1," * 10**6 + "1]", "is not an object"),
        ("@/nowhere/c.json", "cannot be read"),
        ("@/dev/null/x", "cannot be read"),
    ],
    ids=["depth", "digits", "length", "list", "no file", "no folder"],
)
def test_json_that_cannot_be_read_is_one_short_problem(
    text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = executor_input(config=text, store="x", dataset="y", model="z")
    with pytest.raises(ConfigError, match=said) as caught:
        request_from_kfp(PACK, asked)
    assert len(str(caught.value)) < 600
    assert main(["stage", "pack", "--executor-input", text]) == 2
    assert said in capsys.readouterr().err


def test_a_file_that_is_no_text_is_one_problem(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_bytes(b'{"a": "\xff"}')
    asked = executor_input(config=f"@{tmp_path}/c.json", store="x", dataset="y", model="z")
    with pytest.raises(ConfigError, match="cannot be read"):
        request_from_kfp(PACK, asked)


def test_settings_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"n": 2}')
    asked = executor_input(config=f"@{tmp_path}/c.json", store="x", dataset="y", model="z")
    assert request_from_kfp(PACK, asked).config == {"n": 2}


def test_every_declared_output_is_written_where_kubeflow_asks(tmp_path: Path) -> None:
    parameters = {name: {"outputFile": str(tmp_path / "deep" / name)} for name in ("training", "contamination")}
    asked = {"outputs": {"parameters": parameters, "outputFile": str(tmp_path / "all/output.json")}}
    addresses = {"training": "s3://t", "contamination": "s3://c"}
    write_kfp_outputs(outputs_for_kfp(STAGES["decontaminate"], asked), Result(addresses, reused=True))
    assert (tmp_path / "deep/training").read_text() == "s3://t"
    assert json.loads((tmp_path / "all/output.json").read_text()) == {"parameterValues": addresses}


@pytest.mark.parametrize("odd", [None, [], "x", 1, True, [{}], "\x1b[2J" * 10_000])
@pytest.mark.parametrize(
    "shape",
    [
        '{"inputs": ODD}',
        '{"inputs": {"parameterValues": ODD}}',
        '{"inputs": {"parameterValues": {"config": ODD, "store": ODD, "dataset": ODD, "model": ODD}}}',
        '{"inputs": GOOD, "outputs": ODD}',
        '{"inputs": GOOD, "outputs": {"parameters": ODD}}',
        '{"inputs": GOOD, "outputs": {"parameters": {"packed": ODD}}}',
        '{"inputs": GOOD, "outputs": {"parameters": {"unknown": {"outputFile": "/tmp/x"}}}}',
        '{"inputs": GOOD, "outputs": {"outputFile": null}}',
        '{"inputs": GOOD, "outputs": {"parameters": {"packed": {"outputFile": 5}}}}',
    ],
)
def test_an_executor_input_of_another_shape_is_a_short_error_before_anything_is_run(
    shape: str, odd: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("med42lib.commands.stage.run_stage", lambda *_: pytest.fail("it ran"))
    good = '{"parameterValues": {"config": "{}", "store": "x", "dataset": "y", "model": "z"}}'
    text = shape.replace("ODD", json.dumps(odd)).replace("GOOD", good)
    assert main(["stage", "pack", "--executor-input", text]) == 2
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert "\x1b" not in shown
    assert len(shown) < 2_000


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
    assert "train.qlora: is not a section" in capsys.readouterr().err


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
