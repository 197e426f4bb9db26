from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BloomConfig,
    FalconConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MambaConfig,
    MixtralConfig,
    OPTConfig,
    PreTrainedConfig,
)

from med42lib.core.errors import DataError
from med42lib.train.isolation import check_causality, check_isolation

WIDTHS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 64}
LLAMA = WIDTHS | {"intermediate_size": 48}
KEPT_APART = [
    LlamaConfig(**LLAMA),
    GPTNeoXConfig(**LLAMA),
    MixtralConfig(**LLAMA, num_key_value_heads=2, num_local_experts=4),
    GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=64, bos_token_id=1, eos_token_id=1),
]
LEAKING = [
    OPTConfig(**WIDTHS, ffn_dim=48, word_embed_proj_dim=32),
    FalconConfig(**WIDTHS),
    FalconConfig(**WIDTHS, alibi=True),
    MambaConfig(hidden_size=32, num_hidden_layers=2, vocab_size=64, state_size=4),
    BloomConfig(hidden_size=32, n_layer=2, n_head=4, vocab_size=64),
]


@pytest.mark.parametrize("config", [*KEPT_APART, *LEAKING], ids=lambda config: config.model_type)
def test_a_causal_model_is_trained_whether_it_packs_or_not(config: PreTrainedConfig) -> None:
    look_ahead(model_of(config))


def test_a_model_that_looks_both_ways_is_refused_and_the_same_as_a_decoder_is_not() -> None:
    sizes: dict[str, Any] = LLAMA | {"pad_token_id": 0}
    look_ahead(model_of(BertConfig(**sizes, is_decoder=True)))
    with pytest.raises(DataError, match="BertLMHeadModel looks at tokens that come later"):
        look_ahead(model_of(BertConfig(**sizes)))


def look_ahead(model: Any) -> None:
    with torch.no_grad():
        check_causality(model, num_tokens=64, name=type(model).__name__, device=torch.device("cpu"))


def model_of(config: PreTrainedConfig) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


def check(model: Any) -> None:
    with torch.no_grad():
        check_isolation(model, num_tokens=64, name=type(model).__name__, device=torch.device("cpu"))


@pytest.mark.parametrize("config", KEPT_APART, ids=lambda config: config.model_type)
def test_a_model_that_keeps_samples_apart_is_trained(config: PreTrainedConfig) -> None:
    check(model_of(config))


@pytest.mark.parametrize("config", LEAKING, ids=lambda config: config.model_type)
def test_a_model_that_reads_one_sample_into_the_next_is_refused(config: PreTrainedConfig) -> None:
    model = model_of(config)
    with pytest.raises(DataError, match=f"{type(model).__name__} reads one sample of a chunk into the next"):
        check(model)
