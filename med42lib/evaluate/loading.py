"""Load a model for scoring: from local folders alone, and only if every weight was really read."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from med42lib.evaluate.locate import ModelFolders
from med42lib.formats.model_loading import load_description, load_weights, loading_errors
from med42lib.formats.models import Precision
from med42lib.formats.stored_weights import empty_model
from med42lib.formats.tokenizer_loading import load_fast_tokenizer

_ADVICE = "make that model again"


def load_model(folders: ModelFolders, precision: Precision) -> tuple[Any, Any]:
    """Load weights (with the adapter on top, if there is one) and tokenizer.

    The model goes to the GPUs if there are any. The base named in the adapter's own settings is ignored: it is an
    address on the machine that trained it.

    Returns:
        A `PreTrainedModel` or `PeftModel`, and its tokenizer.

    Raises:
        DataError: If a file is broken, or weights are missing or do not fit.
        EnvironmentProblem: If the model does not fit into the GPUs' memory.
    """
    transformers_logging.set_verbosity_error()
    tokenizer = load_fast_tokenizer(folders.weights, _ADVICE)
    model = load_weights(folders.weights, precision, device_map="auto" if torch.cuda.is_available() else None)
    return model if folders.adapter is None else _add_adapter(model, folders.adapter), tokenizer


def load_outline(folders: ModelFolders) -> tuple[Any, Any]:
    """Load the tokenizer, and the model without a single weight: what it is asked, and what fits it, shows from these.

    Returns:
        A `PreTrainedModel` that cannot be called, and its tokenizer.

    Raises:
        DataError: If a file is broken.
    """
    tokenizer = load_fast_tokenizer(folders.weights, _ADVICE)
    return empty_model(load_description(folders.weights, _ADVICE)), tokenizer


def _add_adapter(model: Any, adapter: Path) -> Any:
    from peft import PeftModel  # slow to import, and needed for LoRA only

    with loading_errors(adapter), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")  # for peft, not for users
        # What an adapter lacks stays untrained, and the model would quietly score like its base.
        warnings.filterwarnings("error", message=".*missing adapter keys")
        try:
            return PeftModel.from_pretrained(model, adapter)
        except UserWarning as warning:
            raise ValueError(str(warning)) from warning
