from dataclasses import replace

import pytest

from med42lib.planning.base_model import KNOWN_CONFIGS
from med42lib.train.flops import ModelFlops, model_flops, peak_flops
from med42lib.train.shapes import Shapes
from tests.tiny_llama import make_llama

LLAMA_7B = {"vocab_size": 32_000, "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32}
PARAMETERS, ADAPTER = 6_738_415_616, 19_988_480


def test_a_full_step_costs_six_flops_for_each_weight_and_token_and_attention_on_top() -> None:
    """With a loss on all tokens, PaLM's 6 N + 12 L H Q T, where N leaves out the embedding."""
    flops = model_flops(LLAMA_7B, parameters=PARAMETERS, adapter_parameters=0)
    assert flops is not None
    length = 4096
    given = flops.of_step(num_tokens=length, num_response_tokens=length, num_pairs=length**2)
    assert given == length * (6 * (PARAMETERS - 32_000 * 4096) + 12 * 32 * 32 * 128 * length)


def test_the_output_layer_costs_for_response_tokens_alone_and_attention_only_inside_samples() -> None:
    flops = ModelFlops(weights=10, output_weights=3, adapter_weights=0, attention=2)
    assert flops.of_step(num_tokens=8, num_response_tokens=5, num_pairs=34) == 6 * (10 * 8 + 3 * 5) + 12 * 2 * 34


def test_frozen_weights_have_no_gradient_and_the_adapter_has() -> None:
    flops = model_flops(LLAMA_7B, parameters=PARAMETERS, adapter_parameters=ADAPTER)
    assert flops is not None
    passed = 4 * (PARAMETERS - 2 * 32_000 * 4096) + 6 * ADAPTER
    assert flops.of_step(num_tokens=1, num_response_tokens=0, num_pairs=0) == passed


def test_a_tied_output_layer_is_counted_once() -> None:
    flops = model_flops({**LLAMA_7B, "tie_word_embeddings": True}, parameters=10**9, adapter_parameters=0)
    assert flops is not None
    assert (flops.weights, flops.output_weights) == (10**9 - 32_000 * 4096, 32_000 * 4096)


@pytest.mark.parametrize("config", [{}, {**LLAMA_7B, "num_local_experts": 8}, {**LLAMA_7B, "hidden_size": None}])
def test_where_a_tokens_weights_are_not_known_there_is_no_count(config: dict[str, object]) -> None:
    assert model_flops(config, parameters=10**9, adapter_parameters=0) is None


@pytest.mark.parametrize(("rank", "adapter"), [(None, 0), (8, ADAPTER)], ids=["full", "lora"])
def test_what_is_known_before_there_is_a_model_is_what_it_has_but_for_norms(rank: int | None, adapter: int) -> None:
    recorded = model_flops(LLAMA_7B, parameters=PARAMETERS, adapter_parameters=adapter)
    planned = ModelFlops.of_shapes(Shapes.read(KNOWN_CONFIGS["llama-2-7b"]), lora_rank=rank)
    assert recorded == replace(planned, weights=planned.weights + (2 * 32 + 1) * 4096)


@pytest.mark.parametrize("rank", [None, 4], ids=["full", "lora"])
def test_arithmetic_agrees_with_what_torch_counts_in_a_training_step(rank: int | None) -> None:
    import torch
    from peft import LoraConfig as PeftLoraConfig
    from peft import get_peft_model
    from torch.utils.flop_counter import FlopCounterMode

    model = make_llama(
        vocab_size=512, hidden_size=64, intermediate_size=160, num_hidden_layers=8, attn_implementation="eager"
    )
    shapes, length = Shapes.read(model.config.to_dict()), 32
    if rank is not None:
        model = get_peft_model(model, PeftLoraConfig(r=rank, target_modules="all-linear", task_type="CAUSAL_LM"))
    ids = torch.ones(1, length, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    expected = ModelFlops.of_shapes(shapes, lora_rank=rank).of_step(
        num_tokens=length, num_response_tokens=length, num_pairs=length**2
    )
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    ("gpu", "half", "single"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12, 67e12),
        ("NVIDIA H100 PCIe", 756e12, 51e12),
        ("NVIDIA H200", 989e12, 67e12),
        ("NVIDIA A100-SXM4-80GB", 312e12, 19.5e12),
        ("Tesla V100-SXM2-32GB", 125e12, 15.7e12),
        ("NVIDIA L40S", 362e12, 91.6e12),
        ("NVIDIA L4", 121e12, 30.3e12),
        ("NVIDIA H20", None, None),
        ("NVIDIA A10G", None, None),
        ("", None, None),
    ],
)
def test_the_peak_is_that_of_the_gpu_and_the_number_format(gpu: str, half: float | None, single: float | None) -> None:
    assert peak_flops(gpu, "bfloat16") == peak_flops(gpu, "float16") == half
    assert peak_flops(gpu, "float32") == single
