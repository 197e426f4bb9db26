"""A model as a checkpoint of its training has it, put together on one machine, without a GPU."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from safetensors import safe_open

from med42lib.core.errors import DataError
from med42lib.formats.model_folder import MODEL_FOLDER
from med42lib.formats.packed import INFO_FILE, PackInfo
from med42lib.store.artifacts import Source
from med42lib.train.config import ResolvedConfig, TrainConfig
from med42lib.train.job import TrainingJob
from med42lib.train.model import load_model
from med42lib.train.weights import save_trained
from med42lib.train.worker.fragments import LAYOUT_FILE, WEIGHT, read_layout, tensor_name


def save_checkpointed(checkpoint: Source, job: TrainingJob, base: Source, folder: Path, *, cache: Path) -> None:
    """Save what a training had learned by a checkpoint, as `train` would have as its output; the model is in memory.

    Args:
        checkpoint: One that is complete, of any number of processes and any stage of ZeRO.
        job: Of the attempt that saved it.
        base: The model that training began from.
        folder: Where to; must exist.
        cache: A folder for what has to be fetched.

    Raises:
        DataError: If the checkpoint is not complete, or base or packed data are not there or others.
    """
    if checkpoint.manifest is None:
        raise DataError(f"{checkpoint.address} was never finished: it has no manifest; name another checkpoint")
    if f"sha256:{base.digest}" != job.base_name:
        raise DataError(
            f"{base.address} is sha256:{base.digest}, but the checkpoint's training began from {job.base_name}"
        )
    info = PackInfo.read(Source(job.packed, cache=cache / "packed").path(INFO_FILE).parent)
    config, started_from = _as_loaded(job.config), base.path(MODEL_FOLDER)
    model = load_model(started_from, config)
    _take_over(model, checkpoint)
    save_trained(
        model,
        folder,
        method=config.method,
        base=started_from,
        base_name=job.base_name,
        base_hub=job.base_hub,
        end_token_id=info.eos_token_id,
        system=info.system,
        gather=lambda _: nullcontext(),
        writes=True,
    )


def _as_loaded(config: TrainConfig) -> ResolvedConfig:
    """Settle what says only how a model is trained; an adapter is the same beside a base in four bits."""
    here = {"zero_stage": 1, "gradient_checkpointing": False}
    method = "lora" if config.method == "qlora" else config.method
    return ResolvedConfig.model_validate({**config.model_dump(), **here, "method": method})


def _take_over(model: Any, checkpoint: Source) -> None:
    """Give a model the weights of a checkpoint, fragment by fragment, with one of its files fetched at a time."""
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    left = {name: weight.numel() for name, weight in weights.items()}
    for file, extents in read_layout(checkpoint.path(LAYOUT_FILE)).items():
        with safe_open(checkpoint.path(file), framework="pt") as tensors:
            for name, (start, end) in extents.items():
                if name not in weights:
                    raise DataError(f"{checkpoint.address} holds {name}, which the model has not")
                weights[name].data.view(-1)[start:end].copy_(tensors.get_tensor(tensor_name(name, WEIGHT)))
                left[name] -= end - start
        checkpoint.drop(file)
    if unlike := [name for name, number in left.items() if number]:
        raise DataError(f"{checkpoint.address} does not hold all of {unlike[0]}, or some of it twice")
