"""The way back to the names of files; that it is taken, in tests/train/test_weights.py and test_adapter.py."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, MixtralConfig

from med42lib.core.errors import DataError
from med42lib.formats.stored_weights import StoredNames, by_layer, read_headers

SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "num_key_value_heads": 1}


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixture")
    settings = MixtralConfig(**SIZES, num_hidden_layers=2, num_local_experts=3, vocab_size=32)
    AutoModelForCausalLM.from_config(settings).save_pretrained(folder)
    return folder


def test_a_layer_is_turned_back_by_itself(mixture: Path) -> None:
    joined = torch.arange(3 * 48 * 16.0).reshape(3, 48, 16)
    names = StoredNames.of(mixture)
    stored = names.turned_back({"model.layers.1.mlp.experts.gate_up_proj": joined})
    place = "model.layers.1.block_sparse_moe.experts"
    assert stored.keys() == {f"{place}.{expert}.{part}.weight" for expert in range(3) for part in ("w1", "w3")}
    assert torch.equal(stored[f"{place}.2.w3.weight"], joined[2, 24:])
    assert all(weight.is_meta for weight in names.twin.parameters())
    assert names.others() == []


def test_tensors_are_grouped_by_the_layer_that_their_names_begin_with() -> None:
    names = ["lm_head.weight", "model.layers.0.a.1.b", "model.layers.0.c", "model.layers.10.c", "h.3.attn", "norm"]
    assert by_layer(names) == {
        "": ["lm_head.weight", "norm"],
        "model.layers.0.": ["model.layers.0.a.1.b", "model.layers.0.c"],
        "model.layers.10.": ["model.layers.10.c"],
        "h.3.": ["h.3.attn"],
    }


def test_a_file_that_is_cut_is_named(mixture: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.safetensors").write_bytes((mixture / "model.safetensors").read_bytes()[:100])
    with pytest.raises(DataError, match=r"cut\.safetensors cannot be loaded .*; fetch it again"):
        read_headers(tmp_path / "cut.safetensors", "fetch it again")
