"""A frozen base in four bits, for `method: qlora`.

After Dettmers et al. 2023, "QLoRA: Efficient Finetuning of Quantized LLMs". The linear layers' weights are held as
NormalFloat (NF4) in blocks of 64 that share a scale, the scales themselves in eight bits (section 3), and made whole
again, a layer at a time, in the number format of training. bitsandbytes does it. No image of ours has that package; it
is not imported by a statement, or its version would be in every training's key.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch

from med42lib.core.errors import EnvironmentProblem

_OTHERWISE = "or set train's method to lora"


def check_four_bit(device: torch.device) -> None:
    """Make sure that a layer in four bits computes on this device.

    Raises:
        EnvironmentProblem: If bitsandbytes is not installed, or cannot compute there.
    """
    try:
        library = importlib.import_module("bitsandbytes")
    except ImportError as error:
        what = f"train's method is qlora, which needs the package bitsandbytes ({error})"
        raise EnvironmentProblem(f"{what}; install it where training runs, {_OTHERWISE}") from error
    try:
        layer = library.nn.Linear4bit(64, 64, bias=False, quant_type="nf4", compute_dtype=torch.float32).to(device)
        layer.train()(torch.ones(2, 64, device=device, requires_grad=True)).sum().backward()
    except (RuntimeError, NotImplementedError) as error:
        what = f"train's method is qlora, but bitsandbytes {library.__version__} cannot compute on {device} ({error})"
        raise EnvironmentProblem(f"{what}; train on other GPUs, {_OTHERWISE}") from error


def four_bits(precision: str) -> dict[str, Any]:
    """Give the options with which transformers loads a model in four bits: all linear layers but the output layer."""
    from transformers import BitsAndBytesConfig

    format_ = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
    dtype = getattr(torch, precision)
    return {"quantization_config": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=dtype, **format_)}


def keep_format(model: torch.nn.Module) -> None:
    """Have layers in four bits stay as they are outside training too.

    On some CPUs bitsandbytes would lay their weights out anew, for good, when they are first used without gradients.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]
