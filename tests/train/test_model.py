from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, BloomConfig, GPTJConfig, PreTrainedConfig

from med42lib.core.errors import DataError
from med42lib.train.config import LoraConfig, ResolvedConfig
from med42lib.train.model import load_model, parameter_groups


def test_matrices_decay_and_norms_do_not(base_model: Path, config: ResolvedConfig) -> None:
    model = load_model(base_model / "model", config)
    decayed, kept = parameter_groups(model, weight_decay=0.1)
    assert decayed["weight_decay"] == 0.1
    assert kept["weight_decay"] == 0.0
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert all("norm" in names[id(parameter)] for parameter in kept["params"])  # type: ignore[attr-defined]
    assert not any("norm" in names[id(parameter)] for parameter in decayed["params"])  # type: ignore[attr-defined]
    assert len(names) == len(decayed["params"]) + len(kept["params"])  # type: ignore[arg-type]


def test_under_lora_only_the_adapter_is_trained_on_every_linear_layer_but_the_last(
    base_model: Path, config: ResolvedConfig
) -> None:
    model = load_model(base_model / "model", config.model_copy(update={"method": "lora"}))
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    adapted = {name.split(".lora_")[0].rpartition(".")[2] for name in trained}
    assert adapted == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert len(trained) == 2 * 7 * 2
    assert all("lora_" in name for name in trained)
    (group,) = parameter_groups(model, weight_decay=0.1)
    assert group["weight_decay"] == 0.1


def test_the_adapter_starts_the_same_for_the_same_seed(base_model: Path, config: ResolvedConfig) -> None:
    lora = config.model_copy(update={"method": "lora", "lora": LoraConfig(rank=3)})

    def first_values(seed: int) -> torch.Tensor:
        model = load_model(base_model / "model", lora.model_copy(update={"seed": seed}))
        return next(p for name, p in model.named_parameters() if "lora_A" in name)

    assert torch.equal(first_values(1), first_values(1))
    assert not torch.equal(first_values(1), first_values(2))
    assert first_values(1).shape[0] == 3


def test_a_base_that_lacks_a_weight_is_refused_and_not_trained_from_a_random_number(
    lacking_model: Path, config: ResolvedConfig
) -> None:
    for method in ("full", "lora"):
        with pytest.raises(DataError, match=r"1 weights are missing.*q_proj"):
            load_model(lacking_model / "model", config.model_copy(update={"method": method}))


def test_a_folder_without_a_model_is_refused(tmp_path: Path, config: ResolvedConfig) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(DataError, match="cannot be loaded"):
        load_model(tmp_path, config)


@pytest.mark.parametrize(
    "settings", [BloomConfig(n_layer=1, n_head=2), GPTJConfig(n_layer=1, n_head=2, n_embd=16, rotary_dim=4)]
)
def test_a_base_that_has_no_attention_of_pytorchs_is_trained_with_its_own(
    tmp_path: Path, config: ResolvedConfig, settings: PreTrainedConfig
) -> None:
    settings.update({"hidden_size": 16, "vocab_size": 32})
    AutoModelForCausalLM.from_config(settings).save_pretrained(tmp_path)
    model = load_model(tmp_path, config)
    assert model(torch.tensor([[1, 2, 3]]), labels=torch.tensor([[1, 2, 3]])).loss.requires_grad
