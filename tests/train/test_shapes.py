from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from med42lib.core.errors import DataError
from med42lib.formats.model_config import has_experts
from med42lib.planning.base_model import KNOWN_CONFIGS
from med42lib.train.architectures import architecture
from med42lib.train.shapes import Shapes, count_lora_parameters, count_parameters, is_tied
from tests.tiny_llama import make_llama

LLAMA_2_7B, LLAMA_2_70B = KNOWN_CONFIGS["llama-2-7b"], KNOWN_CONFIGS["llama-2-70b"]
SIZES = {
    "vocab_size": 1000,
    "hidden_size": 256,
    "intermediate_size": 1024,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
}
COUNTED = ("llama", "mistral", "granite", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text")
UNGATED = (
    *("apertus", "arcee", "biogpt", "gpt_neox", "jais2", "nanochat", "nemotron"),
    *("persimmon", "phi", "starcoder2"),
)


def counted_by_torch(model_type: str, **settings: object) -> tuple[dict[str, Any], int]:
    """Give a kind's config.json, and the parameters of a model made of it, in no memory."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(model_type, **SIZES, **settings)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return config.to_dict(), sum(parameter.numel() for parameter in model.parameters())


def tied_by_default() -> Iterator[tuple[str, bool]]:
    """Give the kinds with such sizes that can be trained, and what transformers takes where a config says nothing."""
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    for model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        tried = architecture(model_type)
        if tried is not None and tried.full == "yes":
            config = CONFIG_MAPPING[model_type]().to_dict()
            if SIZES.keys() <= config.keys() and not has_experts(config):
                yield model_type, config.get("tie_word_embeddings") is True


@pytest.mark.parametrize("model_type", COUNTED)
def test_every_parameter_of_these_kinds_is_counted(model_type: str) -> None:
    config, found = counted_by_torch(model_type, num_key_value_heads=4, head_dim=64)
    unsaid = {name: value for name, value in config.items() if name != "tie_word_embeddings"}
    shapes = Shapes.read(unsaid)
    assert shapes.exact
    assert count_parameters(shapes) == found


@pytest.mark.parametrize("model_type", UNGATED)
def test_an_mlp_without_a_gate_is_counted_with_two_matrices(model_type: str) -> None:
    config, found = counted_by_torch(model_type, num_key_value_heads=8, max_position_embeddings=16)
    shapes = Shapes.read(config)
    assert not shapes.exact
    assert count_parameters(shapes) == pytest.approx(found, rel=0.01)  # biases and positions are missing


def test_where_a_config_does_not_say_the_output_layer_is_the_embedding_of_kinds_that_have_it_so() -> None:
    defaults = dict(tied_by_default())
    assert len(defaults) > 40
    assert {kind: is_tied({"model_type": kind}) for kind in defaults} == defaults


def test_biases_that_a_config_asks_for_make_the_count_a_guess() -> None:
    assert Shapes.read(LLAMA_2_7B).exact
    assert not Shapes.read({**LLAMA_2_7B, "attention_bias": True}).exact


@pytest.mark.parametrize(
    ("model", "full", "lora"),
    [(LLAMA_2_7B, 6_738_415_616, 19_988_480), (LLAMA_2_70B, 68_976_648_192, 103_546_880)],
    ids=["7B", "70B"],
)
def test_parameters_of_the_papers_models(model: Mapping[str, object], full: int, lora: int) -> None:
    shapes = Shapes.read(model)
    assert count_parameters(shapes) == full
    assert count_lora_parameters(shapes, rank=8) == lora


def test_ignoring_grouped_query_attention_would_overcount() -> None:
    ungrouped = Shapes.read({**LLAMA_2_70B, "num_key_value_heads": 64})
    assert count_lora_parameters(ungrouped, rank=8) == 112_721_920


def test_counts_agree_with_a_model_that_exists() -> None:
    from peft import LoraConfig as PeftLoraConfig
    from peft import get_peft_model

    model = make_llama(vocab_size=64, intermediate_size=48, num_key_value_heads=2)
    shapes = Shapes.read(model.config.to_dict())
    assert count_parameters(shapes) == model.num_parameters()
    adapted = get_peft_model(model, PeftLoraConfig(r=3, target_modules="all-linear", task_type="CAUSAL_LM"))
    assert count_lora_parameters(shapes, rank=3) == adapted.get_nb_trainable_parameters()[0]


def test_tied_embeddings_count_once() -> None:
    tied = Shapes.read({**LLAMA_2_7B, "tie_word_embeddings": True})
    assert count_parameters(tied) == 6_738_415_616 - 32000 * 4096


@pytest.mark.parametrize("value", [None, "4096", 0, 4096.5])
def test_a_config_without_sizes_is_refused(value: object) -> None:
    with pytest.raises(DataError, match="hidden_size"):
        Shapes.read({**LLAMA_2_7B, "hidden_size": value})


def test_a_mixture_of_experts_is_not_counted_as_if_it_had_one_expert() -> None:
    with pytest.raises(DataError, match="mixture of experts"):
        Shapes.read({**KNOWN_CONFIGS["llama-2-7b"], "num_local_experts": 8})


def test_no_adapter_can_be_larger_than_the_smallest_side_of_a_layer() -> None:
    assert Shapes.read(LLAMA_2_70B).largest_rank == 1024  # keys and values of 8 heads of 128
