"""Saving without ZeRO; the round trip with it is in test_stage.py."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftConfig, get_peft_model
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from med42lib.train.weights import count_elements, save_adapter, save_model
from tests.tiny_llama import make_llama


def save(model: Any, folder: Path, **options: Any) -> None:
    folder.mkdir(exist_ok=True)
    save_model(model, folder, gather=lambda weights: nullcontext(), **options)


@pytest.fixture
def tied_model() -> Any:
    torch.manual_seed(0)
    sizes = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2}
    return make_llama(tie_word_embeddings=True, **sizes)


@pytest.mark.parametrize("max_shard_bytes", [5_000_000_000, 4_000], ids=["one file", "several"])
def test_saved_weights_are_read_back_unchanged(tied_model: Any, tmp_path: Path, max_shard_bytes: int) -> None:
    save(tied_model, tmp_path / "saved", writes=True, max_shard_bytes=max_shard_bytes)
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    weights = tied_model.state_dict()
    assert again.state_dict().keys() == weights.keys()
    assert all(torch.equal(weight, weights[name]) for name, weight in again.state_dict().items())
    assert (len(list((tmp_path / "saved").glob("*.safetensors"))) > 1) == (max_shard_bytes < 5_000)


def test_saving_twice_gives_the_same_bytes(tied_model: Any, tmp_path: Path) -> None:
    for name in ("one", "two"):
        save(tied_model, tmp_path / name, writes=True)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert "model.safetensors" in files
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)


def test_a_process_that_does_not_write_writes_nothing(tied_model: Any, tmp_path: Path) -> None:
    save(tied_model, tmp_path / "saved", writes=False)
    assert list((tmp_path / "saved").iterdir()) == []


def test_split_weights_are_counted_whole(tied_model: Any) -> None:
    whole = count_elements(tied_model.parameters())
    for parameter in tied_model.parameters():
        parameter.ds_numel = parameter.numel()
        parameter.data = torch.empty(0)
    assert count_elements(tied_model.parameters()) == whole > 0


@pytest.mark.parametrize(
    ("base_hub", "name", "revision"),
    [(f"some/model@{40 * '0'}", "some/model", 40 * "0"), (None, "sha256:abc", None)],
    ids=["from a hub", "from a folder"],
)
def test_an_adapter_names_a_base_that_can_be_had_and_keeps_its_identity(
    tied_model: Any, tmp_path: Path, base_hub: str | None, name: str, revision: str | None
) -> None:
    adapted = get_peft_model(tied_model, LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    gather = lambda weights: nullcontext()  # noqa: E731
    save_adapter(adapted, tmp_path, base_name="sha256:abc", base_hub=base_hub, gather=gather, writes=True)
    read = PeftConfig.from_pretrained(str(tmp_path))
    assert (read.base_model_name_or_path, read.revision) == (name, revision)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["revision"] == revision
    with safe_open(tmp_path / "adapter_model.safetensors", framework="pt") as file:
        assert file.metadata()["base_model"] == "sha256:abc"
