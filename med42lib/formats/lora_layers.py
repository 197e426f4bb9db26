"""The tensors of a model that a LoRA adapter is on, and PEFT's layer for each.

PEFT wraps a module, or for one tensor of a module, the module once for each of its tensors:

    mlp.gate_proj.base_layer.weight                     mlp.gate_proj.weight
    mlp.experts.base_layer.base_layer.gate_up_proj      mlp.experts.gate_up_proj
"""

from __future__ import annotations

from typing import Any

_WRAPPED = ".base_layer"


def lora_layers(model: Any) -> dict[str, Any]:
    """Give PEFT's layers by the names that the tensors under them have in the plain model.

    Args:
        model: The model itself, without PEFT's own class around it.
    """
    from peft.tuners.lora.layer import LoraLayer, ParamWrapper

    layers = ((name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer))
    return {
        f"{plain_name(name)}.{layer.parameter_name if isinstance(layer, ParamWrapper) else 'weight'}": layer
        for name, layer in layers
    }


def plain_name(name: str) -> str:
    """Say how a module or tensor is called without the adapter."""
    return name.replace(_WRAPPED, "")
