"""The paper's four runs: each size with both methods (its section "Hyperparameters", and Table A1)."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from med42lib.commands.main import main
from med42lib.spec import RunSpec, load_spec
from med42lib.train.config import LoraConfig
from tests.conftest import REPOSITORY

SIZES = {"med42": "llama-2-7b", "med42_70b": "llama-2-70b"}
TEMPLATES = ["k8s/base/job_template.yaml", "k8s/components/gpu-v100/20-gpu.yaml", "k8s/overlays/v100-8x16/90-size.yaml"]
FLOAT16 = ["--set", "train.full.precision=float16", "--set", "train.lora.precision=float16"]
every_size = pytest.mark.parametrize("name", SIZES)


def path_of(name: str) -> Path:
    return REPOSITORY / f"pipelines/specs/{name}.yaml"


def spec_of(name: str) -> RunSpec:
    return load_spec(path_of(name))


@every_size
def test_both_methods_have_the_papers_recipe(name: str) -> None:
    spec = spec_of(name)
    assert {model: config.method for model, config in spec.train.items()} == {"full": "full", "lora": "lora"}
    full, lora = spec.train["full"], spec.train["lora"]
    for config in (full, lora):
        assert (config.adam_beta1, config.adam_beta2, config.weight_decay, config.max_grad_norm) == (0.9, 0.95, 0.1, 1)
        assert (config.warmup_steps, config.min_lr_ratio) == (100, 0.1)
    assert (full.learning_rate, full.epochs) == (5e-5, 3)
    assert (lora.learning_rate, lora.epochs, lora.lora) == (1e-4, 8, LoraConfig(rank=8, alpha=16))
    assert (spec.pack.policy, spec.pack.chunk_length) == ("concatenate", 4096)
    assert sum(source.target for source in spec.assemble.sources.values() if source.target != "all") == 706_713  # type: ignore[misc]


def test_the_sizes_differ_in_the_base_model_and_in_names_alone() -> None:
    small, large = (spec_of(name).model_dump(mode="json", by_alias=True) for name in SIZES)
    differing = {section for section in small if small[section] != large[section]}
    assert differing == {"name", "inputs", "report", "register"}
    assert {field for field in small["inputs"] if small["inputs"][field] != large["inputs"][field]} == {"base_model"}


@every_size
def test_the_papers_machines_are_planned_for(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plan", str(path_of(name)), "--on", "v100-8x16", *FLOAT16]) == 0
    shown = capsys.readouterr().out
    assert f"base model       {SIZES[name]}, whose shapes are known" in shown
    assert "on 8 nodes of 16 v100-32" in shown


@every_size
def test_the_papers_machines_are_refused_in_bfloat16(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(path_of(name)), "--on", "v100-8x16"]) == 2
    assert "train.lora.precision: is bfloat16, which v100-32 does not compute" in capsys.readouterr().err


@every_size
def test_each_run_renders_as_a_job_of_the_papers_machines(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    templates = [option for template in TEMPLATES for option in ("--template", template)]
    addresses = [
        "--store",
        "s3://bucket/runs",
        "--packed",
        "s3://bucket/packed",
        "--model",
        f"s3://bucket/{SIZES[name]}",
    ]
    command = ["k8s", "render", str(path_of(name)), *templates, "--image", "r/train@sha256:0", *addresses, *FLOAT16]
    assert main([*command, "--output", str(tmp_path)]) == 0
    jobs = {path.stem: yaml.safe_load(path.read_text()) for path in tmp_path.iterdir()}
    assert sorted(jobs) == [f"{name}-full", f"{name}-lora"]
    for model, job in jobs.items():
        replicas: Any = job["spec"]["pytorchReplicaSpecs"]
        assert sum(each["replicas"] for each in replicas.values()) == 8
        arguments = json.loads(replicas["Master"]["template"]["spec"]["containers"][0]["args"][1])
        assert arguments["config"]["method"] == model.rpartition("-")[2]
        assert arguments["model"].endswith(SIZES[name])


def test_a_job_is_not_rendered_for_gpus_that_cannot_compute_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(REPOSITORY)
    templates = [option for template in TEMPLATES for option in ("--template", template)]
    addresses = ["--store", "s3://bucket/runs", "--packed", "s3://bucket/packed", "--model", "s3://bucket/model"]
    command = ["k8s", "render", str(path_of("med42")), *templates, *addresses, "--image", "r/train@sha256:0"]
    assert main([*command, "--output", str(tmp_path)]) == 2
    assert "train.full.precision: is bfloat16, which v100-32 does not compute" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@every_size
def test_the_plan_that_heads_a_spec_finds_nothing_wrong(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    [command] = re.findall(r"^#   med42 (plan (?:.*\\\n)*.*)$", path_of(name).read_text(), re.MULTILINE)
    assert main(shlex.split(command.replace("\\\n#", " "))) == 0
