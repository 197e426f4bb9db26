"""What of a first spec follows from the machine that it is written on."""

from __future__ import annotations

import importlib.util

from med42lib.core.process import has_accelerator
from med42lib.formats.models import Precision

_AMPERE, _VOLTA = (8, 0), (7, 0)


def usual_precision() -> Precision:
    """Give the number format in which this machine trains fastest; where it has no GPU, torch is not asked."""
    if not has_accelerator() or importlib.util.find_spec("torch") is None:
        return "float32"
    import torch

    if not torch.cuda.is_available() or (capability := torch.cuda.get_device_capability()) < _VOLTA:
        return "float32"
    return "bfloat16" if capability >= _AMPERE else "float16"
