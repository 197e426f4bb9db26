from collections.abc import Mapping

import pytest

from med42lib.core.errors import DataError
from med42lib.planning.training import Shapes, count_lora_parameters, count_parameters, plan_training
from med42lib.train.config import LoraConfig, TrainConfig
from tests.tiny_llama import make_llama

FULL = TrainConfig(method="full", learning_rate=1e-2, warmup_steps=1, epochs=2, global_batch_size=4, seed=7)
LLAMA_2_7B: dict[str, object] = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "tie_word_embeddings": False,
}
LLAMA_2_70B: dict[str, object] = {
    "vocab_size": 32000,
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
}


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


@pytest.mark.parametrize(
    ("model", "gigabytes", "of_32", "of_80"),
    [(LLAMA_2_7B, 107.8, 4, 2), (LLAMA_2_70B, 1103.6, 33, 13)],
    ids=["7B", "70B"],
)
def test_gpus_that_full_training_needs_at_least(
    model: Mapping[str, object], gigabytes: float, of_32: int, of_80: int
) -> None:
    plan = plan_training(FULL, model)
    assert plan.state_bytes / 1e9 == pytest.approx(gigabytes, abs=0.05)
    assert plan.min_gpus(32) == of_32
    assert plan.min_gpus(80) == of_80


def test_under_lora_the_base_takes_only_its_weights() -> None:
    settings = {"method": "lora", "precision": "float16", "lora": LoraConfig(rank=8)}
    plan = plan_training(FULL.model_copy(update=settings), LLAMA_2_7B)
    assert plan.num_parameters == 6_738_415_616
    assert plan.num_trained_parameters == 19_988_480
    assert plan.state_bytes == 6_738_415_616 * 2 + 19_988_480 * 16
    assert plan.min_gpus(32) == 1


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
