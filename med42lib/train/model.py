"""The model to train: the base model with all parameters that text passes through, or frozen under a LoRA adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from med42lib.formats.model_loading import load_weights
from med42lib.train.adapter import num_axes, with_adapter
from med42lib.train.attention import SAMPLE_ATTENTION, hardware_here
from med42lib.train.attention_choice import AttentionKind
from med42lib.train.config import ResolvedConfig
from med42lib.train.four_bit import four_bits, keep_format
from med42lib.train.text_model import freeze_other_senses


def load_model(folder: Path, config: ResolvedConfig) -> Any:
    """Load the base model and make it trainable by the chosen method.

    With ZeRO-3 announced to transformers beforehand, each process holds its part of every weight only.

    Raises:
        DataError: If `folder` is not a whole Hugging Face model, or an adapter cannot be put on it as is asked.
        EnvironmentProblem: If the model does not fit into the GPUs' memory.
    """
    in_four_bits = config.method == "qlora"
    model = load_weights(folder, config.precision, **(four_bits(config.precision) if in_four_bits else {}))
    keep_format(model)
    if AttentionKind.read(model.config.to_dict()).goes_by_samples(config, hardware_here()):
        model.set_attn_implementation(SAMPLE_ATTENTION)
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if config.has_adapter:
        model = with_adapter(model, config)
    else:
        freeze_other_senses(model)
    model.train()
    return model


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Split the trained parameters into matrices, which decay, and vectors (norms, biases), which do not."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if num_axes(p) >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if num_axes(p) < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
