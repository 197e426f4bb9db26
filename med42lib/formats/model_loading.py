"""Loading a language model from a local folder, for training and for scoring: whole, or an error that says why not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.distributed import DistError
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from med42lib.core.errors import DataError, EnvironmentProblem
from med42lib.core.library_errors import library_errors
from med42lib.formats.model_config import read_config
from med42lib.formats.model_folder import ADAPTER_CONFIG_FILE

_ADVICE = "make that model again"
_GLOO = "third_party/gloo"
"""Stands in what PyTorch's CPU communication says when another process is gone."""


def load_description(folder: Path, advice: str) -> Any:
    """Read a folder's config.json as transformers does.

    Returns:
        A `PretrainedConfig`.

    Raises:
        DataError: If it is missing or broken, or chooses code.
    """
    path = read_config(folder, advice).path
    with library_errors(path, advice):
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def load_weights(folder: Path, precision: str, *, attn_implementation: str | None = None, **options: object) -> Any:
    """Load a causal language model, if every weight of it is in its safetensors files; no code that lies beside them.

    With ZeRO-3 announced to transformers beforehand, each process gets its part of every weight only.

    Args:
        folder: A Hugging Face folder; nothing is looked up elsewhere.
        precision: Name of the weights' number format in torch.
        attn_implementation: transformers' name of a way to compute attention. None means PyTorch's own (`sdpa`) where
            the model has it, else `eager`. What config.json says is not asked.
        options: Passed on to transformers.

    Returns:
        A `PreTrainedModel`.

    Raises:
        DataError: If config.json chooses code, or an adapter lies in the folder: transformers would put it on unasked.
        DataError, EnvironmentProblem: As `loading_errors` says.
    """
    disable_progress_bar()
    description = load_description(folder, _ADVICE)
    if (folder / ADAPTER_CONFIG_FILE).exists():
        raise DataError(f"{folder} holds a model and, in {ADAPTER_CONFIG_FILE}, an adapter; move the adapter elsewhere")
    with loading_errors(folder):
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            config=description,
            dtype=getattr(torch, precision),
            attn_implementation=attn_implementation,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
        check_nothing_missing(report)
    return model


def check_nothing_missing(report: Any) -> None:
    """Look through transformers' report of a loading: it fills what is missing with random numbers and goes on.

    Raises:
        ValueError: If a weight was missing or of another shape.
    """
    if missing := sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"]):
        raise ValueError(f"{len(missing)} weights are missing or of another shape, such as {missing[0]}")


@contextmanager
def loading_errors(where: Path) -> Iterator[None]:
    """Translate errors of loading a model from a folder.

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
    except BaseException as error:
        if isinstance(error, DistError) or _GLOO in str(error):
            raise
        with library_errors(where, _ADVICE):
            raise
