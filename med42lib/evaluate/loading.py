"""Load a model for scoring: from local folders alone, and only if every weight was really read."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from med42lib.core.errors import DataError
from med42lib.evaluate.config import Precision
from med42lib.evaluate.locate import ModelFolders

_BROKEN_FILE = (OSError, ValueError, KeyError, RuntimeError, SafetensorError)


def load_model(folders: ModelFolders, precision: Precision) -> tuple[Any, Any]:
    """Load weights (with the adapter on top, if there is one) and tokenizer.

    The model goes to the GPUs if there are any. The base named in the adapter's own settings is ignored: it is an
    address on the machine that trained it.

    Returns:
        A `PreTrainedModel` or `PeftModel`, and its tokenizer.

    Raises:
        DataError: If a file is broken, or weights are missing or do not fit.
    """
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folders.weights, local_files_only=True)
        model = _load_weights(folders, precision)
    except _BROKEN_FILE as error:
        where = folders.adapter or folders.weights
        raise DataError(f"{where} cannot be loaded ({error}); make that model again") from error
    return model, tokenizer


def _load_weights(folders: ModelFolders, precision: Precision) -> Any:
    model, report = AutoModelForCausalLM.from_pretrained(
        folders.weights,
        dtype=getattr(torch, precision),
        device_map="auto" if torch.cuda.is_available() else None,
        local_files_only=True,
        output_loading_info=True,
    )
    # transformers fills what is missing with random numbers and goes on.
    if missing := sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"]):
        raise ValueError(f"{len(missing)} weights are missing or of another shape, such as {missing[0]}")
    return model if folders.adapter is None else _add_adapter(model, folders)


def _add_adapter(model: Any, folders: ModelFolders) -> Any:
    from peft import PeftModel  # slow to import, and needed for LoRA only

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")  # for peft, not for users
        # What an adapter lacks stays untrained, and the model would quietly score like its base.
        warnings.filterwarnings("error", message=".*missing adapter keys")
        try:
            return PeftModel.from_pretrained(model, folders.adapter)
        except UserWarning as warning:
            raise ValueError(str(warning)) from warning
