"""A LoRA adapter on every linear layer that text passes through, and which layers have none.

PEFT's own `all-linear` means modules of class `nn.Linear`. transformers 5 keeps a mixture's experts in one tensor and
its router in a module of its own class, which are none. PEFT adapts those too, if they are named to it:

    nn.Linear, Conv1D           target_modules       q_proj, gate_proj, c_attn
    experts, three axes         target_parameters    mlp.experts.gate_up_proj, mlp.experts.down_proj
    router, two axes            target_parameters    mlp.gate.weight
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from med42lib.core.errors import DataError
from med42lib.formats.lora_layers import lora_layers, plain_name
from med42lib.train.config import TrainConfig
from med42lib.train.text_model import text_weights

_LINEAR = (nn.Linear, Conv1D)
_NO_LAYER = (nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def with_adapter(model: Any, config: TrainConfig) -> Any:
    """Freeze a model and put an adapter on every linear layer but the output layer, or on those outside experts.

    Raises:
        DataError: If it should be on every linear layer and cannot be.
    """
    from peft import LoraConfig, get_peft_model

    name, everywhere = type(model).__name__, config.lora.layers == "all"
    modules, experts = _linear_modules(model), _expert_weights(model)
    if everywhere and experts and config.lora.dropout:
        raise DataError(
            f"lora.dropout is {config.lora.dropout:g}, but PEFT has none for the experts of this {name}: set it to 0, "
            "or lora.layers to outside_experts"
        )
    torch.manual_seed(config.seed)
    adapter = LoraConfig(
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        target_modules=_apart_from_experts(modules, model),
        target_parameters=experts if everywhere else None,
        task_type="CAUSAL_LM",
    )
    try:
        # The adapter takes the model's own number format; the optimiser keeps a float32 copy of it.
        adapted = get_peft_model(model, adapter, autocast_adapter_dtype=False)
    except ValueError as error:
        raise DataError(f"PEFT puts no adapter on this {name} ({error}); use method full") from error
    linear = {f"{module}.weight" for module in modules} | {*experts}
    if everywhere and (lacking := linear.intersection(without_adapter(adapted))):
        raise DataError(
            f"PEFT puts no adapter on {len(lacking)} linear weights of this {name}: {', '.join(kinds_of(lacking))}. "
            "Set lora.layers to outside_experts to leave them as they are, or use method full"
        )
    return adapted


def without_adapter(adapted: Any) -> list[str]:
    """List the matrices of a PEFT model that have no adapter.

    Embeddings, convolutions and the output layer do not count, nor does what only images or sounds pass through.
    """
    model = adapted.get_base_model()
    trained = {id(weight) for weight in text_weights(model)}
    has_adapter, output = lora_layers(model), model.get_output_embeddings()
    no_layers = (module for module in model.modules() if isinstance(module, _NO_LAYER) or module is output)
    left_out = {id(weight) for module in no_layers for weight in module.parameters(recurse=False)}
    frozen = {plain_name(name): weight for name, weight in model.named_parameters() if not weight.requires_grad}
    return [
        name
        for name, weight in frozen.items()
        if num_axes(weight) > 1 and id(weight) in trained - left_out and name not in has_adapter
    ]


def kinds_of(names: Iterable[str]) -> list[str]:
    """Name tensors that differ in nothing but their layer's number once, sorted."""
    return sorted({re.sub(r"\.\d+\.", ".*.", name) for name in names})


def num_axes(parameter: nn.Parameter) -> int:
    """Count a parameter's axes; ZeRO-3 leaves a split one flat, and its shape in `ds_shape`."""
    return len(getattr(parameter, "ds_shape", parameter.shape))


def _linear_modules(model: Any) -> list[str]:
    output, trained = model.get_output_embeddings(), {id(weight) for weight in text_weights(model)}
    linear = ((name, module) for name, module in model.named_modules() if isinstance(module, _LINEAR))
    return [name for name, module in linear if module is not output and id(module.weight) in trained]


def _expert_weights(model: Any) -> list[str]:
    """List the experts' matrices and their routers' by what transformers calls their classes: `Qwen3MoeExperts`."""
    return [
        f"{name}.{own}"
        for name, module in model.named_modules()
        for own, weight in module.named_parameters(recurse=False)
        if (type(module).__name__.endswith("Experts") and num_axes(weight) == 3)
        or ("router" in type(module).__name__.lower() and num_axes(weight) == 2)
        if not isinstance(module, (*_LINEAR, *_NO_LAYER)) and "bias" not in own
    ]


def _apart_from_experts(modules: list[str], model: Any) -> list[str]:
    """Leave out the modules that PEFT would take for experts, whose names of before they have.

    In DeepSeek's models `gate_proj` of shared experts and of layers without experts is such a name: PEFT, asked for it,
    adapts the routed experts' `gate_up_proj` in its place, when an adapter is made and when it is loaded.
    """
    from peft import LoraConfig
    from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers

    asked = LoraConfig(target_modules=list(modules))
    convert_peft_config_for_transformers(asked, model, None)
    return [name for name in modules if name in (asked.target_modules or ())]
