from typing import Any

import pytest
from transformers import GemmaConfig, LlamaConfig, MistralConfig, PretrainedConfig, Qwen2Config, Qwen3Config

from med42lib.train.attention_choice import AttentionKind, Hardware
from med42lib.train.config import TrainConfig
from tests.train.conftest import FULL

SLIDING = MistralConfig(sliding_window=4096)


def by_samples(description: PretrainedConfig, hardware: Hardware = "cpu", **settings: Any) -> bool:
    config: TrainConfig = FULL.model_copy(update=settings)
    return AttentionKind.read(description.to_dict()).goes_by_samples(config, hardware)


def masked(description: PretrainedConfig, hardware: Hardware, policy: Any, chunk_length: int = 4096) -> bool:
    config = FULL.model_copy(update={"precision": "float16"})
    kind = AttentionKind.read(description.to_dict())
    return kind.takes_mask(config, hardware, chunk_length=chunk_length, policy=policy)


@pytest.mark.parametrize("description", [LlamaConfig(), SLIDING, Qwen2Config(), Qwen3Config()])
def test_causal_attention_goes_by_samples_with_a_window_or_without(description: PretrainedConfig) -> None:
    assert by_samples(description)
    assert not by_samples(description, attention="sdpa")


def test_a_model_with_more_than_causal_attention_keeps_the_mask() -> None:
    assert not by_samples(LlamaConfig(attention_dropout=0.1))
    assert not by_samples(GemmaConfig())


def test_gpus_from_ampere_on_take_it_in_sixteen_bits() -> None:
    assert by_samples(LlamaConfig(), "ampere", precision="bfloat16")
    assert not by_samples(LlamaConfig(), "ampere", precision="float32")
    assert not by_samples(LlamaConfig(), "older", precision="float16")


@pytest.mark.parametrize(
    ("sizes", "taken"),
    [
        ({"hidden_size": 4096, "num_attention_heads": 32}, True),
        ({"hidden_size": 3200, "num_attention_heads": 32}, False),  # OpenLLaMA 3B: 100, no multiple of 8
        ({"hidden_size": 3200, "num_attention_heads": 32, "head_dim": 128}, True),
        ({"hidden_size": 4096, "num_attention_heads": 8}, False),  # 512
    ],
)
def test_heads_that_the_kernel_refuses_keep_the_mask_on_gpus(sizes: dict[str, int], taken: bool) -> None:
    assert by_samples(LlamaConfig(**sizes), "ampere", precision="bfloat16") is taken
    assert by_samples(LlamaConfig(**sizes), "cpu")


def test_samples_are_masked_where_attention_does_not_go_by_them() -> None:
    assert masked(LlamaConfig(), "older", "best_fit")
    assert not masked(LlamaConfig(), "older", "concatenate")
    assert not masked(LlamaConfig(), "ampere", "best_fit")


def test_a_window_is_masked_from_chunks_on_that_are_as_long() -> None:
    assert masked(SLIDING, "older", "concatenate")
    assert not masked(SLIDING, "older", "concatenate", chunk_length=4095)
    assert not masked(SLIDING, "ampere", "concatenate")
    assert not masked(Qwen2Config(use_sliding_window=False), "older", "concatenate")
