"""An adapter on bases of several kinds: on what it is, and that files of other programs and PEFT's have all of it."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    DeepseekV3Config,
    GPT2Config,
    GPTNeoXConfig,
    GptOssConfig,
    GraniteMoeConfig,
    MambaConfig,
    MixtralConfig,
    PreTrainedConfig,
    Qwen2MoeConfig,
)

from med42lib.core.errors import DataError
from med42lib.formats.merging import merge_adapter
from med42lib.train.adapter import kinds_of, with_adapter, without_adapter
from med42lib.train.config import LoraConfig, TrainConfig
from med42lib.train.weights import save_adapter

WIDTHS = {"hidden_size": 16, "num_hidden_layers": 2, "vocab_size": 32}
LLAMA = WIDTHS | {"intermediate_size": 24, "num_attention_heads": 2, "num_key_value_heads": 1}
MIXTURE = LLAMA | {"num_local_experts": 3, "num_experts_per_tok": 2}
QWEN = LLAMA | {
    "num_experts": 3,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 8,
    "shared_expert_intermediate_size": 8,
}
DEEPSEEK = LLAMA | {
    **{"n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1},
    **{"kv_lora_rank": 4, "q_lora_rank": 4, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 8},
    **{"moe_intermediate_size": 8, "num_key_value_heads": 2},
}
ATTENTION = {f"self_attn.{name}_proj.weight" for name in "qkvo"}
GPT2 = GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=32, bos_token_id=1, eos_token_id=1)
EXPERTS = {"mlp.experts.gate_up_proj", "mlp.experts.down_proj"}
SHARED = {f"mlp.shared_expert.{name}_proj.weight" for name in ("gate", "up", "down")} | {
    "mlp.shared_expert_gate.weight"
}
GRANITE = {f"block_sparse_moe.{name}" for name in ("experts.gate_up_proj", "experts.down_proj", "router.weight")}
ADAPTED: list[tuple[PreTrainedConfig, set[str]]] = [
    (MixtralConfig(**MIXTURE), ATTENTION | EXPERTS | {"mlp.gate.weight"}),
    (GraniteMoeConfig(**MIXTURE), ATTENTION | GRANITE),
    (GptOssConfig(**MIXTURE, head_dim=8), ATTENTION | EXPERTS | {"mlp.router.weight"}),
    (Qwen2MoeConfig(**QWEN), ATTENTION | EXPERTS | SHARED | {"mlp.gate.weight"}),
    (
        GPTNeoXConfig(**LLAMA),
        {"attention.query_key_value.weight", "attention.dense.weight"}
        | {f"mlp.dense_{name}.weight" for name in ("h_to_4h", "4h_to_h")},
    ),
    (GPT2, {f"{name}.weight" for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")}),
]
by_type = pytest.mark.parametrize(("settings", "linear"), ADAPTED, ids=[settings.model_type for settings, _ in ADAPTED])


def adapted(settings: PreTrainedConfig | Path, config: TrainConfig, **lora: Any) -> Any:
    """Put an adapter with values on a model, made anew or from its files."""
    torch.manual_seed(0)
    load = AutoModelForCausalLM.from_pretrained if isinstance(settings, Path) else AutoModelForCausalLM.from_config
    model = with_adapter(load(settings), config.model_copy(update={"lora": LoraConfig(rank=2, **lora)}))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.5)
    return model.eval()


@by_type
def test_every_linear_layer_gets_an_adapter_experts_and_routers_too(
    config: TrainConfig, settings: PreTrainedConfig, linear: set[str]
) -> None:
    model = adapted(settings, config)
    assert without_adapter(model) == [name for name in without_adapter(model) if name.endswith("_bias")]
    matrices = [weight for name, weight in model.named_parameters() if "lora_A" in name]
    assert len(matrices) == settings.num_hidden_layers * len(linear)
    assert all(weight.requires_grad for weight in matrices)


@by_type
def test_a_merged_adapter_has_the_bases_names_and_gives_the_logits_of_both(
    tmp_path: Path, config: TrainConfig, settings: PreTrainedConfig, linear: set[str]
) -> None:
    base, adapter, merged = (tmp_path / name for name in ("base", "adapter", "merged"))
    AutoModelForCausalLM.from_config(settings).save_pretrained(base)
    if settings is GPT2:  # as in its own repository
        names_without(base / "model.safetensors", "transformer.")
    model = adapted(base, config)
    for folder in (adapter, merged):
        folder.mkdir()
    names = {"base_name": "sha256:abc", "base_hub": None}
    save_adapter(model, adapter, **names, gather=lambda weights: nullcontext(), writes=True)
    assert merge_adapter(base, adapter, merged) == settings.num_hidden_layers * len(linear)
    assert shapes(merged) == shapes(base)
    expected = logits(model)
    assert not torch.allclose(logits(AutoModelForCausalLM.from_pretrained(base)), expected, atol=1e-3)
    torch.testing.assert_close(logits(AutoModelForCausalLM.from_pretrained(merged)), expected, rtol=1e-4, atol=1e-5)
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), str(adapter))
    torch.testing.assert_close(logits(loaded), expected)


def names_without(path: Path, prefix: str) -> None:
    weights = {name.removeprefix(prefix): weight for name, weight in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})


def shapes(folder: Path) -> dict[str, torch.Size]:
    return {name: weight.shape for name, weight in load_file(folder / "model.safetensors").items()}


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=torch.arange(20)[None], use_cache=False).logits
    return found


def test_what_peft_cannot_tell_from_experts_is_refused_and_left_out_on_demand(config: TrainConfig) -> None:
    settings = DeepseekV3Config(**DEEPSEEK)
    with pytest.raises(
        DataError, match=r"no adapter on 6 linear .*\*\.mlp\.down_proj\.weight.*shared_experts.*outside_exp"
    ):
        adapted(settings, config)
    model = adapted(settings, config, layers="outside_experts")
    assert {name.split(".")[3] for name in without_adapter(model)} == {"mlp"}


@pytest.mark.parametrize("settings", [each for each, _ in ADAPTED[:4]], ids=lambda settings: settings.model_type)
def test_experts_are_left_out_on_demand_and_named(config: TrainConfig, settings: PreTrainedConfig) -> None:
    model = adapted(settings, config, layers="outside_experts", dropout=0.1)
    left_out = kinds_of(name for name in without_adapter(model) if not name.endswith("_bias"))
    assert len(left_out) == 3
    assert all("expert" in name or "gate" in name or "router" in name for name in left_out)
    assert not any("shared" in name for name in left_out)


def test_experts_and_dropout_of_an_adapter_are_refused(config: TrainConfig) -> None:
    with pytest.raises(DataError, match=r"lora\.dropout is 0\.1, but PEFT has none for the experts of this Mixtral"):
        adapted(MixtralConfig(**MIXTURE), config, dropout=0.1)


def test_a_base_that_peft_adapts_not_at_all_is_refused(config: TrainConfig) -> None:
    with pytest.raises(DataError, match=r"no adapter on this MambaForCausalLM \(.*out_proj.*method full"):
        adapted(MambaConfig(**WIDTHS, state_size=4), config)
