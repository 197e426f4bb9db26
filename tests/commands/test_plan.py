import json
import re
from pathlib import Path

import pytest

from med42lib.commands.main import main
from med42lib.commands.plan import Plan
from med42lib.commands.plan_text import Asked
from med42lib.core.errors import DataError
from med42lib.planning.base_model import KNOWN_CONFIGS
from med42lib.planning.hardware import parse_cluster
from med42lib.spec import RunSpec, load_spec
from tests.conftest import REPOSITORY

DEMO = REPOSITORY / "pipelines/specs/demo.yaml"
PAPER = REPOSITORY / "pipelines/specs/med42.yaml"
MODEL = REPOSITORY / "med42lib/demo/model"
NOTHING = Asked()


def plan_of(spec: RunSpec, cache: Path, asked: Asked = NOTHING) -> str:
    return "\n".join(Plan.make(spec, cache, asked).lines())


def row(shown: str, label: str) -> list[str]:
    """The cells of a table's line."""
    [line] = [line for line in shown.splitlines() if line.strip().startswith(label)]
    return line.partition(label)[2].split()


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


@pytest.mark.parametrize(
    ("cluster", "slow"),
    [
        ("h100-1x8", "float32 h100-80 is 15 times slower than in bfloat16"),
        ("v100-1x8", "float32 v100-32 is 8 times slower than in float16"),
    ],
)
def test_float32_on_gpus_is_called_slow(tmp_path: Path, cluster: str, slow: str) -> None:
    asked, sixteen = Asked(parse_cluster(cluster)), [f"train.{name}.precision=float16" for name in ("full", "lora")]
    assert slow in plan_of(load_spec(DEMO), tmp_path, asked)
    assert "times slower" not in plan_of(load_spec(DEMO, sixteen), tmp_path, asked)
    assert "times slower" not in plan_of(load_spec(DEMO), tmp_path)


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


@pytest.mark.parametrize(("model_type", "about"), [("qwen2", ""), ("phi", "~")])
def test_a_size_that_is_a_guess_bears_its_mark(tmp_path: Path, model_type: str, about: str) -> None:
    config = {**KNOWN_CONFIGS["llama-2-7b"], "model_type": model_type}
    (tmp_path / "config.json").write_text(json.dumps(config))
    shown = plan_of(load_spec(DEMO, [f"inputs.base_model={tmp_path}"]), tmp_path / "cache")
    assert ("as if it were a Llama" in shown) == bool(about)
    assert re.search(rf"  parameters     {about}\d[\d,]+ of {about}\d", shown)
    assert re.search(rf"  checkpoint     {about}\d", shown)


@pytest.mark.parametrize(("model_type", "is_guess"), [("granite", False), ("gemma2", True)])
def test_memory_that_is_a_guess_of_a_size_that_is_none_bears_its_mark(
    tmp_path: Path, model_type: str, is_guess: bool
) -> None:
    config = {**KNOWN_CONFIGS["llama-2-7b"], "model_type": model_type}
    (tmp_path / "config.json").write_text(json.dumps(config))
    shown = plan_of(load_spec(DEMO, [f"inputs.base_model={tmp_path}"]), tmp_path / "cache")
    assert ("  memory         ~, a Llama's" in shown) == is_guess
    assert re.search(r"  parameters     \d", shown)


def test_broken_settings_of_a_model_are_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"hidden_size": ')
    with pytest.raises(DataError, match=r"config\.json is broken .*inputs\.base_model"):
        plan_of(load_spec(DEMO, [f"inputs.base_model={tmp_path}"]), tmp_path / "cache")


def test_a_warm_up_that_is_likely_too_long_is_said(tmp_path: Path) -> None:
    lines = plan_of(load_spec(DEMO, ["train.lora.warmup_steps=50"]), tmp_path).splitlines()
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


def test_memory_hours_and_money_of_full_and_lora_stand_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plan", str(PAPER), "--on", "h100-4x8", "--price", "2", "--mfu", "0.4"]) == 0
    shown = capsys.readouterr().out
    assert row(shown, "on 4 nodes of 8 h100-80") == ["full", "lora"]
    full, lora = (float(cell.strip("~").replace(",", "")) for cell in row(shown, "GPU-hours"))
    money = [float(cell.strip("~").replace(",", "")) for cell in row(shown, "money, at 2 a GPU-hour")]
    assert money == pytest.approx([2 * full, 2 * lora], abs=1)
    assert row(shown, "MFU")[:2] == ["0.40", "0.40"]
    assert row(shown, "checkpoint, GB") == ["80.9", "0.2"]
    assert shown.count("    * ZeRO-1  ") == 2
    for stage in (1, 2, 3):
        assert shown.count(f" ZeRO-{stage} ") == shown.count(f" ZeRO-{stage}, checkpointing ") == 2


def test_the_training_chapter_shows_what_plan_says(capsys: pytest.CaptureFixture[str]) -> None:
    text = (REPOSITORY / "med42lib/train/README.md").read_text()
    blocks = re.findall(r"^```\n\$ med42 plan (.*?)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    for command, shown in blocks:
        spec, *options = command.split()
        assert main(["plan", str(REPOSITORY / spec), *options]) == 0
        assert shown in capsys.readouterr().out


def test_what_is_held_out_is_neither_trained_on_nor_in_the_steps_and_is_stored(
    capsys: pytest.CaptureFixture[str],
) -> None:
    planned = []
    for share in ("0", "0.25"):
        assert main(["plan", str(PAPER), "--on", "h100-4x8", "--set", f"pack.validation_share={share}"]) == 0
        shown = capsys.readouterr().out
        steps = next(line.split()[1] for line in shown.splitlines() if line.startswith("  steps"))
        planned.append((steps, row(shown, "tokens trained on")[0], row(shown, "scratch, GB a node")[0]))
    assert planned[0] == ("~1,320", "~691,196,184", planned[1][2])
    assert planned[1][:2] == ("~990", "~518,397,138")
    assert "held out         ~57,599,682 tokens, 25.00%" in shown


def test_the_smallest_cluster_of_each_kind_is_named_without_one(tmp_path: Path) -> None:
    shown = plan_of(load_spec(PAPER, ["inputs.base_model=llama-2-70b"]), tmp_path)
    full, lora = (line for line in shown.splitlines() if line.startswith("  smallest"))
    assert "h200-1x" in lora
    assert "h200-2x8" in full
    assert "v100" not in full  # bfloat16


def test_without_a_price_no_money_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(DEMO), "--on", "h200-1x1"]) == 0
    shown = capsys.readouterr().out
    assert "money" not in shown
    assert "MFU: measured with this project on one H200" in shown


def test_all_that_is_wrong_is_told_at_once_after_the_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = [
        "assemble.sources.medqa={target: 70}",
        "pack.chunk_length=100000",
        "train.lora.lora.rank=4000",
        "train.full.global_batch_size=12",
        "train.full.precision=bfloat16",
        "package_model.candidate=nobody",
    ]
    options = [option for setting in settings for option in ("--set", setting)]
    assert main(["plan", str(DEMO), "--on", "v100-16-1x8", *options]) == 2
    shown = capsys.readouterr()
    assert "steps " in shown.out
    for where in (
        "assemble.sources.medqa: missing: package:med42lib/demo/data/training has no 'medqa/questions/US/4_options'",
        "pack.chunk_length: must be at most",
        "train.lora.lora.rank: must be at most 128",
        "train.full.global_batch_size: must be a multiple of 64",
        "train.full.precision: is bfloat16, which v100-16 does not compute",
        "train.full: needs",
        "package_model.candidate",
    ):
        assert where in shown.err


def test_a_data_folder_that_is_empty_is_planned_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").mkdir()
    assert main(["plan", str(PAPER), "--set", f"inputs.training_data={tmp_path}/data"]) == 0
    assert "~706,713 rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--on", "dgx"], "expected KIND-NODESxGPUS, such as v100-16x8"),
        (["--on", "h200-1x1", "--processes", "2"], "not allowed with argument"),
        (["--mfu", "40"], "must be at most 1, as 0.4 for 40 %"),
        (["--price", "free"], "must be a number above 0"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(
    option: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(DEMO), *option])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_what_is_asked_of_a_cluster_is_refused_where_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(DEMO), "--price", "2.5", "--mfu", "0.4"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "--price: does nothing without a cluster" in shown.err
    assert "--mfu: does nothing without a cluster" in shown.err


def test_embedding_and_comparing_are_worked_out_apart_and_a_gpus_time_is_said_to_be_computed(tmp_path: Path) -> None:
    shown = plan_of(load_spec(PAPER), tmp_path)
    assert "decontaminate    ~706,713 questions, ~10,437 items\n" in shown
    assert "  comparing      ~7,375,963,581 pairs, 5.7e+12 FLOPs for all of them\n" in shown
    assert "on one a100-80\n" in shown
    assert "of a GPU computed, not measured" in shown


def test_shards_embed_on_as_many_machines(tmp_path: Path) -> None:
    shown = plan_of(load_spec(PAPER, ["decontaminate.shards=16"]), tmp_path)
    assert "cores of each of 16 machines, ~" in shown
