from pathlib import Path

import pytest

from med42lib.commands.main import main
from med42lib.commands.plan import plan_lines
from med42lib.core.errors import DataError
from med42lib.spec import RunSpec, load_spec
from tests.conftest import REPOSITORY

DEMO = REPOSITORY / "pipelines/specs/demo.yaml"
PAPER = REPOSITORY / "pipelines/specs/med42.yaml"
MODEL = REPOSITORY / "med42lib/demo/model"


def plan_of(spec: RunSpec, cache: Path) -> str:
    return "\n".join(plan_lines(spec, cache))


def test_the_papers_run_is_planned_without_its_data_and_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plan", str(PAPER)]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert f"training data    missing: {tmp_path}/data/training does not exist" in shown.out
    assert "~706,713 rows" in shown.out
    assert "    medmcqa              ~180,462 rows, ~144 tokens each\n" in shown.out
    assert "base model       llama-2-7b, whose shapes are known" in shown.out
    assert "19,988,480 of 6,738,415,616 (0.30%)" in shown.out
    assert "~ is an estimate" in shown.out
    assert list(tmp_path.iterdir()) == []


def test_rows_of_files_that_are_here_are_counted_and_bear_no_mark(tmp_path: Path) -> None:
    shown = plan_of(load_spec(DEMO), tmp_path)
    assert "  mixture        1,100 rows, ~34," in shown
    assert "    medical_flashcards        900 rows, ~31 tokens each, measured\n" in shown


def test_a_source_that_is_missing_among_others_is_named_and_estimated(tmp_path: Path) -> None:
    shown = plan_of(load_spec(DEMO, ["assemble.sources.medqa={target: 70}"]), tmp_path)
    assert "~1,170 rows" in shown
    [line] = [line for line in shown.splitlines() if line.startswith("    medqa ")]
    assert line.endswith(
        " ~70 rows, ~255 tokens each; "
        "missing: package:med42lib/demo/data/training has no 'medqa/questions/US/4_options'"
    )


def test_steps_and_parameters_of_each_model_stand_under_its_name(tmp_path: Path) -> None:
    lora = "{method: lora, learning_rate: 1, warmup_steps: 0, epochs: 1, global_batch_size: 4, seed: 1}"
    shown = plan_of(load_spec(DEMO, [f"train={{lora_r64: {lora}}}", "train.lora_r64.lora.rank=64"]), tmp_path)
    assert [line.split()[1:] for line in shown.splitlines() if line.startswith("train ")] == [["lora_r64", "lora"]]
    assert "655,360 of 1,115,264" in shown
    assert "steps          ~68 of 4 chunks" in shown


def test_a_number_of_steps_that_is_set_is_no_estimate(tmp_path: Path) -> None:
    assert "  steps          12 of 16 chunks" in plan_of(load_spec(DEMO, ["train.full.max_steps=12"]), tmp_path)


def test_a_base_model_that_is_not_known_leaves_only_its_size_open(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", str(DEMO), "--set", f"inputs.base_model={tmp_path}/gone"]) == 0
    shown = capsys.readouterr().out
    assert f"base model       {tmp_path}/gone has no file config.json" in shown
    assert "size           unknown" in shown
    assert "llama-2-70b" in shown
    assert "steps " in shown
    assert "parameters " not in shown


def test_a_model_of_another_kind_leaves_only_its_size_open(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "n_embd": 768}')
    shown = plan_of(load_spec(DEMO, [f"inputs.base_model={tmp_path}"]), tmp_path / "cache")
    assert "size           unknown: the base model's config.json says num_attention_heads: None" in shown


def test_broken_settings_of_a_model_are_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"hidden_size": ')
    with pytest.raises(DataError, match=r"config\.json is broken .*inputs\.base_model"):
        plan_of(load_spec(DEMO, [f"inputs.base_model={tmp_path}"]), tmp_path / "cache")


def test_a_warm_up_that_is_likely_too_long_is_said(tmp_path: Path) -> None:
    lines = plan_lines(load_spec(DEMO, ["train.lora.warmup_steps=50"]), tmp_path)
    assert [line for line in lines if "too short" in line] == [
        "  too short      for a warm-up of 50 steps, which train will refuse"
    ]


def test_wrong_settings_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(PAPER), "--set", "pack.chunk_length=4097", "--set", "inputs.base_model=llama-2-70b"]) == 2
    assert "must be at most 4,096, the context of the model in llama-2-70b (given: 4,097)" in capsys.readouterr().err


def test_a_launcher_that_is_none_is_told_before_anything_is_planned(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MED42_LAUNCHER", "elsewhere")
    assert main(["plan", str(DEMO)]) != 0
    assert "MED42_LAUNCHER='elsewhere': expected local" in capsys.readouterr().err
