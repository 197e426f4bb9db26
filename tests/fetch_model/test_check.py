import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from med42lib.core.errors import DataError
from med42lib.fetch_model.check import check_model


def test_a_whole_model_is_described(weights: Path) -> None:
    facts = check_model(weights)

    assert facts.architecture == "LlamaForCausalLM"
    assert facts.total_parameters == 64 * 32 + 4 * 32 * 32 + 3 * 32 * 64 + 3 * 32
    assert facts.dtypes == ("F32",)
    assert facts.num_tokens == 64
    assert facts.total_bytes == sum(path.stat().st_size for path in weights.iterdir())


def test_weights_in_half_precision_and_in_shards_are_counted(weights: Path) -> None:
    shard(weights)

    facts = check_model(weights)

    assert facts.dtypes == ("BF16", "F32")
    assert facts.total_parameters == 64 * 32 + 4 * 32 * 32 + 3 * 32 * 64 + 3 * 32


def shard(folder: Path) -> None:
    """Split the weights into two files, the first in bfloat16."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    halves = {"a.safetensors": names[:3], "b.safetensors": names[3:]}
    save_file({name: tensors[name].to(torch.bfloat16) for name in names[:3]}, folder / "a.safetensors")
    save_file({name: tensors[name] for name in names[3:]}, folder / "b.safetensors")
    weight_map = {name: file for file, inside in halves.items() for name in inside}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_a_shard_without_a_promised_tensor_is_named(weights: Path) -> None:
    shard(weights)
    save_file({"something.else": torch.zeros(1)}, weights / "b.safetensors")

    with pytest.raises(DataError, match=r"b\.safetensors lacks model\.layers"):
        check_model(weights)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_weights_cut_short_are_named(weights: Path, keep: int) -> None:
    path = weights / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(DataError, match=r"model\.safetensors cannot be loaded .* not a whole safetensors file"):
        check_model(weights)


def test_settings_without_a_model_type_are_refused(weights: Path) -> None:
    (weights / "config.json").write_text('{"vocab_size": 64}')

    with pytest.raises(DataError, match="names no model_type"):
        check_model(weights)


def test_a_tokenizer_of_another_model_is_refused(weights: Path) -> None:
    config = json.loads((weights / "config.json").read_text())
    (weights / "config.json").write_text(json.dumps({**config, "vocab_size": 50}))

    with pytest.raises(DataError, match="the tokenizer has 64 tokens but the model embeds 50"):
        check_model(weights)


@pytest.mark.parametrize("text", ["{}", '{"model": ', ""])
def test_a_broken_tokenizer_is_named(weights: Path, text: str) -> None:
    (weights / "tokenizer.json").write_text(text)

    with pytest.raises(DataError, match=r"tokenizer\.json"):
        check_model(weights)
