import json
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from med42lib.commands.main import main
from med42lib.core.errors import ConfigError, DataError, StoreError
from med42lib.formats.dataset import write_examples
from med42lib.formats.records import Example, Exchange, Origin
from med42lib.store.artifacts import Source
from med42lib.train.weights import save_adapter
from tests.tiny_llama import make_llama


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    folder.mkdir()
    write_examples(folder, [Example("s", "CC0", "", (Exchange("Fever?", "Yes."),), "Fever?", Origin("1", "f", 1))])
    return folder


def test_a_data_set_is_written_as_messages(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "messages.parquet"
    assert main(["export", str(dataset), str(path)]) == 0
    assert "1 conversation written" in capsys.readouterr().out
    [row] = pq.read_table(path).to_pylist()
    assert (row["licence"], [message["role"] for message in row["messages"]]) == ("CC0", ["user", "assistant"])


def test_what_is_no_data_set_is_bad_data_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.csv").write_text("a,b")
    assert main(["export", str(tmp_path), str(tmp_path / "messages.parquet")]) == DataError.exit_code
    said = capsys.readouterr().err
    assert "is neither a data set nor a model: it holds rows.csv; give an output of assemble (dataset)" in said
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_a_data_set_is_not_written_as_parquet_under_another_name(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(dataset), str(tmp_path / "messages.jsonl")]) == ConfigError.exit_code
    assert "messages.jsonl: a data set is written as .parquet" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]


def test_a_folder_that_is_not_there_is_a_wrong_setting(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(dataset), str(tmp_path / "no" / "messages.parquet")]) == ConfigError.exit_code
    assert "its folder does not exist" in capsys.readouterr().err


def test_what_is_fetched_lies_where_scratch_does(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MED42_SCRATCH", str(tmp_path / "file"))
    assert main(["export", str(dataset), str(tmp_path / "messages.parquet")]) == StoreError.exit_code
    assert f"cannot write {tmp_path}/file/med42-" in (said := capsys.readouterr().err)
    assert "choose a MED42_SCRATCH" in said
    monkeypatch.setenv("MED42_SCRATCH", str(tmp_path / "scratch"))
    assert main(["export", str(dataset), str(tmp_path / "messages.parquet")]) == 0
    [own] = (tmp_path / "scratch").iterdir()
    assert not list(own.iterdir())


@pytest.fixture
def fine_tune(tmp_path: Path) -> dict[str, Any]:
    """What fetch_model and train leave of a LoRA fine-tune: a base in several files, an adapter, and its logits."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    model = make_llama(vocab_size=64, num_key_value_heads=2)
    base, trained = tmp_path / "base", tmp_path / "trained"
    model.save_pretrained(base / "model", max_shard_size="20KB")
    (base / "model/tokenizer.json").write_text("{}")
    (base / "model/LICENSE").write_text("the base's terms")
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    (trained / "peft").mkdir(parents=True)
    identity = f"sha256:{Source(str(base)).digest}"
    gather = lambda weights: nullcontext()  # noqa: E731
    save_adapter(
        adapted, trained / "peft", base_name=identity, base_hub=f"some/model@{40 * '0'}", gather=gather, writes=True
    )
    return {"base": base, "trained": trained, "logits": logits_of(adapted)}


def logits_of(model: Any) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model.eval()(input_ids=torch.arange(20)[None]).logits
    return logits


def assert_merged(folder: Path, logits: torch.Tensor) -> None:
    from transformers import AutoModelForCausalLM

    merged = AutoModelForCausalLM.from_pretrained(folder)
    assert type(merged).__name__ == "LlamaForCausalLM"
    torch.testing.assert_close(logits_of(merged), logits, rtol=0, atol=1e-5)


def test_a_merged_adapter_gives_the_logits_of_base_and_adapter(
    fine_tune: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["export", str(fine_tune["trained"]), str(out), "--base", str(fine_tune["base"])]) == 0
    assert "14 matrices of an adapter merged" in capsys.readouterr().out
    assert_merged(out, fine_tune["logits"])
    (tmp_path / "new").touch()
    assert {path.stat().st_mode for path in out.iterdir()} == {(tmp_path / "new").stat().st_mode}
    names = {path.name for path in out.iterdir()}
    assert names == {path.name for path in (fine_tune["base"] / "model").iterdir()}
    assert len([name for name in names if name.endswith(".safetensors")]) > 2
    assert {"config.json", "tokenizer.json", "model.safetensors.index.json", "LICENSE"} <= names


def test_a_package_holds_its_base_itself(fine_tune: dict[str, Any], tmp_path: Path) -> None:
    package = tmp_path / "package"
    shutil.copytree(fine_tune["base"] / "model", package / "model")
    shutil.copytree(fine_tune["trained"] / "peft", package / "peft")
    assert main(["export", str(package), str(tmp_path / "out")]) == 0
    assert_merged(tmp_path / "out", fine_tune["logits"])


def test_a_full_fine_tune_is_written_as_it_is(fine_tune: dict[str, Any], tmp_path: Path) -> None:
    assert main(["export", str(fine_tune["base"]), str(tmp_path / "out")]) == 0
    written, there = (
        {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in (tmp_path / "out", fine_tune["base"] / "model")
    )
    assert written == there


@pytest.mark.parametrize("name", ["trained", "base"])
def test_the_card_that_register_put_there_goes_along(
    name: str, fine_tune: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", str(fine_tune[name]), str(tmp_path / "first"), "--base", str(fine_tune["base"])]
    assert main(arguments) == 0
    assert "it has no model card" in capsys.readouterr().out
    (fine_tune[name] / "README.md").write_text("# A card")
    arguments[2] = str(tmp_path / "second")
    assert main(arguments) == 0
    assert "with its model card, README.md" in capsys.readouterr().out
    assert (tmp_path / "second/README.md").read_text() == "# A card"


def test_another_base_than_the_adapters_is_refused_and_nothing_is_left(
    fine_tune: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (fine_tune["base"] / "model/tokenizer.json").write_text("another")
    out = tmp_path / "out"
    assert main(["export", str(fine_tune["trained"]), str(out), "--base", str(fine_tune["base"])]) == 3
    assert "was trained on sha256:" in capsys.readouterr().err
    assert not out.exists()


def test_an_adapter_of_layers_that_the_base_has_not_is_refused_and_nothing_is_left(
    fine_tune: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = tmp_path / "package"
    make_llama(vocab_size=64, num_key_value_heads=2, num_hidden_layers=1).save_pretrained(package / "model")
    shutil.copytree(fine_tune["trained"] / "peft", package / "peft")
    assert main(["export", str(package), str(tmp_path / "out")]) == 3
    assert "differ in 14 matrices, such as" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_adapter_of_other_arithmetic_is_refused(
    fine_tune: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = fine_tune["trained"] / "peft/adapter_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "use_dora": True}))
    assert main(["export", str(fine_tune["trained"]), f"{tmp_path}/out", "--base", str(fine_tune["base"])]) == 3
    assert "sets use_dora; only plain LoRA is merged" in capsys.readouterr().err


def test_an_adapter_needs_its_base_named_and_a_folder_that_is_there_is_kept(
    fine_tune: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(fine_tune["trained"]), str(tmp_path / "out")]) == 2
    assert "--base: is required" in capsys.readouterr().err
    assert main(["export", str(fine_tune["base"]), str(fine_tune["trained"])]) == 2
    assert "is there already" in capsys.readouterr().err
    assert (fine_tune["trained"] / "peft").is_dir()
