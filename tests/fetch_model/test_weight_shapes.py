import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from med42lib.core.errors import DataError
from med42lib.fetch_model.check import check_model
from tests.json_files import edit

SIZES = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA = {**SIZES, "intermediate_size": 64, "num_key_value_heads": 2}
FAMILIES = {
    "gpt2": {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "gpt_neox": {**SIZES, "intermediate_size": 64},
    "mixtral": {**LLAMA, "num_local_experts": 4},
    "qwen3_moe": {**LLAMA, "num_experts": 4, "moe_intermediate_size": 16, "head_dim": 8},
    "phi3": {**LLAMA, "pad_token_id": 0},
    "gemma2": {**LLAMA, "head_dim": 8},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_models_with_tied_merged_and_renamed_weights_pass(family: str, weights: Path, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **FAMILIES[family]))
    model.save_pretrained(tmp_path / "model")
    for path in weights.glob("tokenizer*"):
        shutil.copy(path, tmp_path / "model")

    assert check_model(tmp_path / "model").total_parameters == model.num_parameters()


def change(weights: Path, **tensors: object) -> None:
    path = weights / "model.safetensors"
    save_file({**load_file(path), **tensors}, path, metadata={"format": "pt"})


def test_a_missing_tensor_is_named(weights: Path) -> None:
    tensors = load_file(weights / "model.safetensors")
    del tensors["model.layers.0.mlp.up_proj.weight"]
    save_file(tensors, weights / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(
        DataError, match=r"lack 1 tensors of the LlamaForCausalLM .*model\.layers\.0\.mlp\.up_proj\.weight"
    ):
        check_model(weights)


def test_a_tensor_of_another_shape_is_named(weights: Path) -> None:
    edit(weights / "config.json", intermediate_size=128)

    with pytest.raises(DataError, match=r"down_proj\.weight has the shape \[32, 64\] .* with \[32, 128\]"):
        check_model(weights)


@pytest.mark.parametrize("num_layers", [2, 100, 10_000])
def test_more_layers_than_the_weights_have_are_refused(weights: Path, num_layers: int) -> None:
    edit(weights / "config.json", num_hidden_layers=num_layers)

    with pytest.raises(DataError, match=r"lack \d+ tensors|describes a model of more than [\d,]+ parts"):
        check_model(weights)


def test_fewer_layers_than_the_weights_have_are_refused(weights: Path) -> None:
    edit(weights / "config.json", num_hidden_layers=0)

    with pytest.raises(
        DataError, match=r"has no place for 9 tensors, such as model\.layers\.0\..*: 8\d% of all weights"
    ):
        check_model(weights)


def test_a_few_tensors_without_a_place_are_left_out(weights: Path) -> None:
    import torch

    change(weights, **{"vision_tower.bias": torch.ones(8)})

    assert check_model(weights).num_tokens == 64


QWEN = {**LLAMA, "vocab_size": 65, "head_dim": 8, "linear_num_key_heads": 2, "linear_num_value_heads": 2}
EYES = {"depth": 1, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32, "patch_size": 4}


def test_a_model_whose_text_part_alone_would_be_trained_is_refused_until_it_is_saved_alone(
    weights: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, Qwen3_5Config, Qwen3_5ForConditionalGeneration

    whole, alone = tmp_path / "whole", tmp_path / "alone"
    Qwen3_5ForConditionalGeneration(Qwen3_5Config(text_config=QWEN, vision_config=EYES)).save_pretrained(whole)
    AutoModelForCausalLM.from_pretrained(whole).save_pretrained(alone)
    for path in weights.glob("tokenizer*"):
        shutil.copy(path, whole)
        shutil.copy(path, alone)

    with pytest.raises(
        DataError, match=r"a Qwen3_5ForConditionalGeneration, of which a Qwen3_5ForCausalLM .* 21 tensors such as model"
    ):
        check_model(whole)
    assert check_model(alone).architecture == "Qwen3_5ForCausalLM"


def test_tables_that_are_computed_and_not_stored_are_bounded(weights: Path, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        "codegen", vocab_size=64, n_embd=32, n_layer=1, n_head=4, n_positions=64, rotary_dim=4
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "model")
    for path in weights.glob("tokenizer*"):
        shutil.copy(path, tmp_path / "model")
    assert check_model(tmp_path / "model").architecture == "CodeGenForCausalLM"

    edit(tmp_path / "model" / "config.json", n_positions=10**9)
    with pytest.raises(DataError, match=r"with [\d.]+ GB of tables beside its weights"):
        check_model(tmp_path / "model")
