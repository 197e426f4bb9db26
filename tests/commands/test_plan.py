from pathlib import Path

import pytest

from med42lib.commands.main import main
from med42lib.commands.plan import plan_lines
from med42lib.core.errors import DataError
from med42lib.spec import RunSpec, load_spec
from med42lib.store.backends.local import LocalStore
from tests.conftest import REPOSITORY

DEMO = REPOSITORY / "pipelines/specs/demo.yaml"
MODEL = REPOSITORY / "med42lib/demo/model"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Training files of 5,000 bytes."""
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "a.csv").write_bytes(bytes(2000))
    (tmp_path / "data" / "deep" / "b.csv").write_bytes(bytes(3000))
    return tmp_path / "data"


def spec_of(data: Path, *overrides: str) -> RunSpec:
    return load_spec(DEMO, [f"inputs.training_data={data}", *overrides])


def test_files_and_bytes_are_counted_and_nothing_is_hashed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: LocalStore, name: str) -> None:
        raise AssertionError(f"{name} was read")

    monkeypatch.setattr(LocalStore, "blocks", refuse)
    lines = list(plan_lines(spec_of(data), tmp_path / "cache"))
    assert f"training data    2 files, 0.0 MB in {data}" in lines
    assert "chunks           ~10 of 128 tokens if every source is used whole" in lines
    assert any(line.startswith("train lora") for line in lines)


@pytest.mark.slow
def test_of_a_remote_model_only_its_settings_are_fetched(data: Path, bucket: str, tmp_path: Path) -> None:
    from med42lib.store.backends.s3 import make_client

    for name, content in (("config.json", (MODEL / "config.json").read_bytes()), ("model.safetensors", b"weights")):
        make_client().put_object(Bucket=bucket, Key=f"base/{name}", Body=content)
    spec = spec_of(data, f"inputs.base_model=s3://{bucket}/base")
    assert any("parameters (100.00%)" in line for line in plan_lines(spec, tmp_path / "cache"))
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["config.json"]


def test_a_gguf_file_is_not_opened(data: Path, tmp_path: Path) -> None:
    spec = spec_of(data, "fetch_model.format=gguf", "inputs.base_model=nothing://here")
    *_, last = plan_lines(spec, tmp_path / "cache")
    assert last == "base model       its size is known once fetch_model has converted it"


def test_a_model_without_settings_is_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data has no file config\.json"):
        list(plan_lines(spec_of(data, f"inputs.base_model={data}"), tmp_path / "cache"))


def test_data_that_are_not_there_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(DEMO), "--set", f"inputs.training_data={tmp_path / 'gone'}"]) == 3
    assert "gone does not exist; check the address" in capsys.readouterr().err


def test_broken_settings_of_a_model_are_named(data: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"hidden_size": ')
    with pytest.raises(DataError, match=r"config\.json is broken .*inputs\.base_model"):
        list(plan_lines(spec_of(data, f"inputs.base_model={tmp_path / 'model'}"), tmp_path / "cache"))


def test_a_warm_up_that_is_likely_too_long_is_said(data: Path, tmp_path: Path) -> None:
    lines = list(plan_lines(spec_of(data, "train.lora.warmup_steps=50", "train.full.warmup_steps=0"), tmp_path))
    assert [line for line in lines if "too short" in line] == [
        "  too short      for a warm-up of 50 steps, which train will refuse"
    ]


def test_each_model_is_planned_under_its_name(data: Path, tmp_path: Path) -> None:
    lora = (
        "{method: lora, learning_rate: 1, warmup_steps: 0, epochs: 1, global_batch_size: 4, seed: 1, lora: {rank: 64}}"
    )
    lines = list(plan_lines(spec_of(data, f"train={{lora_r64: {lora}}}"), tmp_path))
    assert [line.split()[1] for line in lines if line.startswith("train ")] == ["lora_r64"]


def test_a_launcher_that_is_none_is_told_before_anything_is_planned(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MED42_LAUNCHER", "elsewhere")
    assert main(["plan", str(DEMO)]) != 0
    assert "MED42_LAUNCHER='elsewhere': expected local" in capsys.readouterr().err
