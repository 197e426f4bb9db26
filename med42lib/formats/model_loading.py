"""Loading a language model from a local folder, for training and for scoring: whole, or an error that says why not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch.distributed import DistError
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from med42lib.core.errors import DataError, EnvironmentProblem

_BROKEN_FILE = (OSError, ValueError, KeyError, RuntimeError, SafetensorError)
_GLOO = "third_party/gloo"
"""Stands in what PyTorch's CPU communication says when another process is gone."""


def load_weights(folder: Path, precision: str, **options: object) -> Any:
    """Load a causal language model, if every weight of it is in its files.

    With ZeRO-3 announced to transformers beforehand, each process gets its part of every weight only.

    Args:
        folder: A Hugging Face folder; nothing is looked up elsewhere.
        precision: Name of the weights' number format in torch.
        options: Passed on to transformers.

    Returns:
        A `PreTrainedModel`.

    Raises:
        DataError, EnvironmentProblem: As `loading_errors` says.
    """
    disable_progress_bar()
    with loading_errors(folder):
        model, report = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, precision), local_files_only=True, output_loading_info=True, **options
        )
        # transformers fills what is missing with random numbers and goes on.
        if missing := sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"]):
            raise ValueError(f"{len(missing)} weights are missing or of another shape, such as {missing[0]}")
    return model


@contextmanager
def loading_errors(where: Path) -> Iterator[None]:
    """Tell what goes wrong while a model is loaded from a folder.

    Raises:
        DataError: If a file is broken, or weights are missing or do not fit.
        EnvironmentProblem: If the model does not fit into the GPUs' memory, or a GPU fails.
    """
    try:
        yield
    except (torch.OutOfMemoryError, torch.AcceleratorError) as error:
        raise EnvironmentProblem(
            f"the model in {where} could not be put on the GPU ({error}); free GPU memory (nvidia-smi shows what "
            "takes it), use more or larger GPUs, or set precision to a smaller number format"
        ) from error
    except _BROKEN_FILE as error:
        if isinstance(error, DistError) or _GLOO in str(error):
            raise
        raise DataError(f"{where} cannot be loaded ({error}); make that model again") from error
