import inspect
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from med42lib.commands.main import main
from med42lib.core.errors import ConfigError, DataError
from med42lib.spec import read_spec
from med42lib.spec_check import CHECKS, check_inputs, load_checked
from tests.conftest import REPOSITORY

SPECS = sorted((REPOSITORY / "pipelines/specs").glob("*.yaml"))
DEMO = REPOSITORY / "pipelines/specs/demo.yaml"
TRAINING_DATA = "package:med42lib/demo/data/training"
WARD = "{format: lm_eval, path: ward.yaml, licence: ours}"
LETTERS = "assemble.multiple_choice=letters"


def problems_of(*overrides: str, processes: int = 2) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load_checked(DEMO, overrides, processes=processes)
    return {problem.where: problem.what for problem in caught.value.problems}


def doubts_of(caplog: pytest.LogCaptureFixture, *overrides: str) -> list[str]:
    with caplog.at_level(logging.WARNING, logger="med42"):
        load_checked(DEMO, overrides)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("path", SPECS, ids=[path.stem for path in SPECS])
def test_nothing_is_wrong_or_doubtful_in_a_spec_that_is_shipped(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_checked(path, processes=2)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("overrides", "where", "what"),
    [
        (["train.full.global_batch_size=12"], "train.full.global_batch_size", "must be a multiple of 16: 2 training"),
        (["train.lora.max_steps=10"], "train.lora.warmup_steps", "must be less than the 10 steps"),
        (
            ["train.full.validation_steps=50"],
            "train.full.validation_steps",
            "does nothing, since pack.validation_share",
        ),
        (
            ["train.full.load_best_model_at_end=true"],
            "train.full.load_best_model_at_end",
            "does nothing, since pack.validation_share",
        ),
        (["train.full.lora.rank=64"], "train.full.lora", "does nothing with method full"),
        (["train.full.method=lora"], "train.full.method", "is lora, but the model is called full"),
        (["inputs.base_model=hub:owner/name@main"], "inputs.base_model", "where the revision is the full commit"),
        (["inputs.training_data=gs://bucket/raw"], "inputs.training_data", "an address is a folder"),
        (["inputs.benchmark_data=s3://"], "inputs.benchmark_data", "names no bucket"),
        (["package_model.candidate=lora_r64"], "package_model.candidate", "did you mean 'lora'?"),
        (["report.compare=[[full, loar]]"], "report.compare.0", "did you mean 'lora'?"),
        (["report.compare=[[full, base], [full, full]]"], "report.compare.1", "compares 'full' with itself"),
        (["evaluate.prompt=plain", "evaluate.system=x"], "evaluate.system", "does nothing with prompt plain"),
        (
            [LETTERS, "evaluate.scoring=letters", "evaluate.normalise=bytes"],
            "evaluate.normalise",
            "does nothing with scoring letters",
        ),
        (
            [f"benchmarks.include.ward={WARD}", "evaluate.benchmarks.ward={scoring: texts}"],
            "evaluate.benchmarks.ward",
            "does nothing: a task of lm-eval says itself how it is scored",
        ),
        (
            ["evaluate.benchmarks.medqua={scoring: texts}"],
            "evaluate.benchmarks.medqua",
            "is no benchmark of benchmarks.include, which has medqa, mmlu; did you mean 'medqa'?",
        ),
        (
            ["evaluate.shards=59", "decontaminate.shards=2"],
            "evaluate.shards",
            "makes a run of 194 tasks with 3 models; Kubeflow can keep 170",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(overrides: list[str], where: str, what: str) -> None:
    found = problems_of(*overrides)
    assert list(found) == [where]
    assert what in found[where]


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_looks_at_what_a_whole_spec_has_and_is_never_left_out_of_it(check: Callable[..., Any]) -> None:
    assert inspect.signature(check).parameters.keys() <= read_spec(DEMO).sections.keys() | {"processes"}


def test_problems_of_all_sections_are_listed_at_once() -> None:
    found = problems_of(
        "train.full.lora.rank=64", "train.lora.max_steps=5", "package_model.candidate=x", "report.compare=[[a, b]]"
    )
    assert set(found) == {"train.full.lora", "train.lora.warmup_steps", "package_model.candidate", "report.compare.0"}


def test_problems_within_sections_and_across_them_are_one_list() -> None:
    found = problems_of(
        "pack.chunk_length=x",
        "train.full.lerning_rate=1",
        "train.lora.max_steps=5",
        "package_model.candidate=ful",
        "report.compare=[[full, loar]]",
        "nothing",
    )
    assert set(found) == {
        "pack.chunk_length",
        "train.full.lerning_rate",
        "train.lora.warmup_steps",
        "package_model.candidate",
        "report.compare.0",
        "nothing",
    }
    assert "did you mean 'full'?" in found["package_model.candidate"]


@pytest.mark.parametrize("train", ["null", "[]", "x", "{full: null}"])
def test_what_would_need_a_section_with_problems_is_not_checked(train: str) -> None:
    found = problems_of(f"train={train}", "evaluate.benchmarks.medqua={scoring: texts}")
    assert {where.split(".")[0] for where in found} == {"train", "evaluate"}


def test_two_models_of_the_same_settings_would_be_one() -> None:
    again = yaml.safe_load(DEMO.read_text())["train"]["lora"]
    assert problems_of(f"train.lora_again={again}") == {
        "train.lora_again": "has the very settings of train.lora; change one, its seed for instance"
    }
    load_checked(DEMO, [f"train.lora_again={again | {'seed': 43}}"])


def test_the_bases_name_is_taken() -> None:
    lora = yaml.safe_load(DEMO.read_text())["train"]["lora"] | {"seed": 43}
    assert list(problems_of(f"train.base={lora}")) == ["train.base"]


def test_a_batch_is_held_against_the_processes_that_will_train() -> None:
    load_checked(DEMO, processes=1)
    assert set(problems_of(processes=3)) == {"train.full.global_batch_size", "train.lora.global_batch_size"}


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["evaluate.prompt=plain"], "evaluate.prompt: is plain, but the fine-tunes are taught in the prompt med42"),
        (["evaluate.scoring=letters"], "evaluate.scoring: is letters, but assemble's multiple_choice teaches texts"),
        ([LETTERS], "evaluate.scoring: is texts, but assemble's multiple_choice teaches letters"),
        (
            ["evaluate.benchmarks.mmlu_anatomy={scoring: letters}"],
            "evaluate.benchmarks.mmlu_anatomy.scoring: is letters, but",
        ),
    ],
)
def test_scoring_in_another_form_than_was_taught_is_warned_of(
    overrides: list[str], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    [doubt] = doubts_of(caplog, *overrides)
    assert doubt.startswith(said)


def test_a_source_that_is_taught_in_its_own_way_counts(caplog: pytest.LogCaptureFixture) -> None:
    own = "assemble.sources.headqa.multiple_choice=letters"
    [doubt] = doubts_of(caplog, own)
    assert "teaches letters" in doubt
    caplog.clear()
    assert doubts_of(caplog, own, "evaluate.scoring=letters") == []


def test_licences_that_would_stop_a_model_at_the_gate_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    allowed = "register.gate.allowed_licences=[cc0-1.0, apache-2.0]"
    assert doubts_of(caplog, allowed) == []
    stated = ["assemble.sources.medquad.licence=null", "fetch_model.licence=mit"]
    end = "has: no model will become the candidate"
    assert doubts_of(caplog, allowed, *stated) == [
        f"register.gate.allowed_licences: does not name 'CC BY 4.0', which assemble.sources.medquad {end}",
        "register.gate.allowed_licences: does not name 'mit', which fetch_model.licence says: "
        "no model will become the candidate",
    ]


def test_questions_that_are_trained_on_are_no_benchmark() -> None:
    own = "{format: multiple_choice, path: exam.jsonl, licence: ours"
    asked = f"benchmarks.include.exam={own}}}"
    found = problems_of(asked, f"assemble.sources.ward={own}, target: all}}", f"inputs.benchmark_data={TRAINING_DATA}")
    assert list(found) == ["benchmarks.include.exam"]
    assert "is what assemble.sources.ward trains on, so that its scores say nothing" in found["benchmarks.include.exam"]
    other = f"assemble.sources.ward={own.replace('exam', 'ward')}, target: all}}"
    load_checked(DEMO, [asked, other, f"inputs.benchmark_data={TRAINING_DATA}"], processes=2)


def test_questions_of_the_users_own_are_taught_in_a_form_too(caplog: pytest.LogCaptureFixture) -> None:
    """The demo's own form is texts, and so is its scoring."""
    own = "{format: multiple_choice, path: exam.jsonl, licence: ours, target: all, multiple_choice: letters}"
    doubts = doubts_of(caplog, f"assemble.sources={{ward: {own}}}")
    assert doubts == ["evaluate.scoring: is texts, but assemble's multiple_choice teaches letters"]


def test_without_a_fine_tune_nothing_was_taught(caplog: pytest.LogCaptureFixture) -> None:
    assert doubts_of(caplog, "train={}", "package_model.candidate=base", "evaluate.prompt=plain", LETTERS) == []


def test_what_kubeflow_would_replace_is_refused_wherever_it_stands() -> None:
    held = ["report.title='of {{$.pipeline_job_name}}'", "inputs.encoder='{{$}}/encoder'"]
    with pytest.raises(ConfigError) as caught:
        load_checked(DEMO, held)
    assert {problem.where for problem in caught.value.problems} == {"report.title", "inputs.encoder"}
    assert load_checked(DEMO, ["report.title='{{workflow}} costs $5'"]).report.title == "{{workflow}} costs $5"


def test_a_bare_name_of_a_hub_is_told_how_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    bare = ["base_model=HuggingFaceTB/SmolLM2-135M", "encoder=no/such/folder"]
    assert main(["run", str(DEMO), *(f"--set=inputs.{given}" for given in bare)]) == 3
    model, encoder = capsys.readouterr().err.splitlines()[-2:]
    assert model.endswith("on a model hub it is hub:HuggingFaceTB/SmolLM2-135M@<revision>")
    assert "hub" not in encoder


@pytest.mark.parametrize("command", ["run", "plan", "compile"])
def test_every_command_refuses_it_before_anything_works(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = tmp_path / "spec.yaml"
    spec.write_text(DEMO.read_text().replace("candidate: full", "candidate: ful"))
    assert main([command, str(spec)]) == 2
    assert "package_model.candidate: 'ful' is no model of train; there are base, full, lora" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["spec.yaml"]


def test_a_spec_of_before_is_told_the_new_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = (
        DEMO.read_text()
        .replace("global_batch_size", "chunks_per_step")
        .replace("micro_batch_size", "chunks_per_forward")
    )
    old = old.replace("    epochs: 2\n", "    epochs: 2\n    final_learning_rate_share: 0.2\n")
    (tmp_path / "spec.yaml").write_text(old)
    assert main(["plan", str(tmp_path / "spec.yaml")]) == 2
    shown = capsys.readouterr().err
    for model in ("full", "lora"):
        for before, now in (
            ("chunks_per_step", "global_batch_size"),
            ("chunks_per_forward", "micro_batch_size"),
            ("final_learning_rate_share", "min_lr_ratio"),
        ):
            [line] = [line for line in shown.splitlines() if f"train.{model}.{before}" in line]
            assert f"it is called {now} now" in line


def test_a_package_of_another_image_is_missed_here_and_not_in_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = load_checked(DEMO, ["inputs.encoder=package:of_another_image/model"])
    with pytest.raises(DataError, match=r"inputs\.encoder: package:of_another_image/model"):
        check_inputs(spec)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    check_inputs(spec)


def test_all_inputs_that_are_missing_are_named_before_anything_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    gone = [f"--set=inputs.{name}={tmp_path}/no_{name}" for name in ("training_data", "encoder")]
    assert main(["run", str(DEMO), *gone]) == 3
    shown = capsys.readouterr().err
    for name in ("training_data", "encoder"):
        assert f"inputs.{name}: {tmp_path}/no_{name} does not exist" in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["run", "plan", "compile"])
def test_chunks_longer_than_the_base_models_context_are_refused_before_anything_works(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.yaml").write_text(DEMO.read_text().replace("chunk_length: 128", "chunk_length: 100000"))
    assert main([command, "spec.yaml"]) == 2
    shown = capsys.readouterr().err
    assert "pack.chunk_length: must be at most" in shown
    assert "the context of the model in package:med42lib/demo/model (given: 100,000)" in shown
    assert [path.name for path in tmp_path.iterdir()] == ["spec.yaml"]


@pytest.mark.parametrize("command", ["plan", "compile"])
def test_a_batch_is_held_against_the_processes_of_the_machine_that_will_train(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = [f"--output={tmp_path}/x.yaml"] if command == "compile" else []
    assert main([command, str(DEMO), "--processes", "3", *output]) == 2
    shown = capsys.readouterr().err
    for model in ("full", "lora"):
        assert f"train.{model}.global_batch_size: must be a multiple of 24" in shown
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SystemExit):
        main([command, str(DEMO), "--processes", "0", *output])
    assert "must be a whole number above 0 (given: '0')" in capsys.readouterr().err
