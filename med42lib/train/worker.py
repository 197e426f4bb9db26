"""What each training process does under torchrun. The only module that knows DeepSpeed."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from med42lib.core.errors import EnvironmentProblem
from med42lib.core.log import set_up_logging
from med42lib.core.progress import progress
from med42lib.formats.packed import PackedDataset
from med42lib.store.artifacts import Target
from med42lib.train.batches import count_steps, steps
from med42lib.train.config import TrainConfig
from med42lib.train.recipe import Recipe
from med42lib.train.request import Request, reported_errors
from med42lib.train.schedule import Schedule

if TYPE_CHECKING:
    from med42lib.train.loop import StepResult


def run_worker(request_file: Path) -> None:
    """Train as the request says; an error ends the process and is left in the request's failure file."""
    request = Request.read(request_file)
    with reported_errors(request.failure, request.trained):
        set_up_logging()
        _join_processes(request.config)
        _train(request)
        _leave_processes()


def _join_processes(config: TrainConfig) -> None:
    """Connect the processes: NCCL between GPUs, gloo otherwise."""
    import torch

    # torch reads the variable when it is imported, and a fork has torch from its parent.
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    on_gpu = torch.cuda.is_available()
    # DeepSpeed and PEFT use names that torch and transformers will drop, and are told so at every call.
    warnings.simplefilter("ignore", FutureWarning)
    deepspeed = import_deepspeed("cuda" if on_gpu else "cpu")
    check_precision(config.precision, _supported_formats())
    deepspeed.accelerator.get_accelerator().set_device(int(os.environ["LOCAL_RANK"]))
    deepspeed.init_distributed("nccl" if on_gpu else "gloo", verbose=False)


def import_deepspeed(accelerator: str) -> Any:
    """Import DeepSpeed 0.19 for `cuda` or `cpu`, without what it brings along for features that are not used here.

    That saves 3 of 9 seconds (mlflow for its autotuner, torch's compiler for the Muon optimiser), and a shared-memory
    operator that it would build with the machine's C++ compiler: 40 s, or the end where there is none.
    """
    os.environ.setdefault("DS_ACCELERATOR", accelerator)
    present = sys.modules.get("mlflow")
    sys.modules["mlflow"] = None  # type: ignore[assignment]
    import deepspeed

    del sys.modules["mlflow"]
    if present is not None:
        sys.modules["mlflow"] = present
    deepspeed.runtime.compiler.compile = lambda: lambda function: function
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed


def _leave_processes() -> None:
    from torch import distributed

    distributed.barrier()
    distributed.destroy_process_group()


def check_precision(precision: str, supported: set[str]) -> None:
    """Make sure that the hardware computes in this number format.

    Raises:
        EnvironmentProblem: If it does not.
    """
    if precision not in supported:
        raise EnvironmentProblem(
            f"train's precision is {precision!r}, but this machine has only {', '.join(sorted(supported))}; "
            "set one of these (V100 GPUs: float16), or train elsewhere"
        )


def _supported_formats() -> set[str]:
    import torch
    from deepspeed.accelerator import get_accelerator

    accelerator = get_accelerator()
    # torch also says yes where it only emulates bfloat16, far too slowly to train.
    has_bfloat16 = (
        torch.cuda.is_bf16_supported(including_emulation=False)
        if torch.cuda.is_available()
        else accelerator.is_bf16_supported()
    )
    formats = {"float32": True, "bfloat16": has_bfloat16, "float16": accelerator.is_fp16_supported()}
    return {name for name, supported in formats.items() if supported}


def deepspeed_config(config: TrainConfig, num_processes: int) -> dict[str, Any]:
    """Say in DeepSpeed's terms how to train."""
    per_forward = config.micro_batch_size * num_processes
    return {
        "train_batch_size": config.global_batch_size,
        "train_micro_batch_size_per_gpu": config.micro_batch_size,
        "gradient_accumulation_steps": config.global_batch_size // per_forward,
        "gradient_clipping": config.max_grad_norm,
        "zero_optimization": {"stage": config.zero_stage},
        "bf16": {"enabled": config.precision == "bfloat16"},
        "fp16": {"enabled": config.precision == "float16"},
        "steps_per_print": sys.maxsize,
    }


def _train(request: Request) -> None:
    import torch
    from torch import distributed

    started = time.monotonic()
    data = PackedDataset(request.packed)
    target = Target(request.trained)
    engine = _engine(request)
    torch.manual_seed(request.config.seed + distributed.get_rank())
    recipe = _run_steps(engine, data, request.config, target)
    _save(engine.module, request)
    if distributed.get_rank() == 0:
        recipe.write(request.trained)
        target.metric("trainable_parameters", recipe.trainable_parameters)
        target.metric("total_parameters", recipe.total_parameters)
        target.metric("train_seconds", time.monotonic() - started)


def _engine(request: Request) -> Any:
    import deepspeed
    from torch import distributed
    from torch.optim import AdamW
    from transformers.integrations import HfDeepSpeedConfig

    from med42lib.train.model import load_model, parameter_groups

    config = request.config
    settings = deepspeed_config(config, distributed.get_world_size())
    # While this object lives, transformers builds models split between the processes (ZeRO-3).
    announcement = HfDeepSpeedConfig(settings)
    model = load_model(request.model, config)
    optimizer = AdamW(
        parameter_groups(model, config.weight_decay),
        lr=config.learning_rate,
        betas=(config.adam_beta1, config.adam_beta2),
        eps=config.adam_epsilon,
    )
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=settings, dist_init_required=False)
    del announcement
    return engine


def _run_steps(engine: Any, data: PackedDataset, config: TrainConfig, target: Target) -> Recipe:
    from torch import distributed

    from med42lib.train.loop import train_steps
    from med42lib.train.weights import count_elements

    num_steps = count_steps(len(data), config)
    schedule = Schedule(config.learning_rate, config.warmup_steps, num_steps, config.min_lr_ratio)
    training = train_steps(engine, data, steps(len(data), config), schedule, config)
    results = list(_reported(training, target, num_steps) if distributed.get_rank() == 0 else training)
    parameters = list(engine.module.parameters())
    return Recipe(
        method=config.method,
        num_steps=num_steps,
        num_chunks=len(data),
        num_tokens=sum(result.num_tokens for result in results),
        num_response_tokens=sum(result.num_response_tokens for result in results),
        trainable_parameters=count_elements(p for p in parameters if p.requires_grad),
        total_parameters=count_elements(parameters),
        world_size=distributed.get_world_size(),
        first_loss=results[0].loss,
        last_loss=results[-1].loss,
    )


def _reported(results: Iterator[StepResult], target: Target, num_steps: int) -> Iterator[StepResult]:
    """Pass the steps' results on, showing and recording each."""
    with progress("train", num_steps, unit="steps") as bar:
        for number, result in enumerate(results, start=1):
            speed = result.num_tokens / result.seconds
            target.metric("loss", result.loss, step=number)
            target.metric("learning_rate", result.learning_rate, step=number)
            target.metric("grad_norm", result.grad_norm, step=number)
            target.metric("tokens_per_second", speed, step=number)
            bar.advance(note=f"loss {result.loss:.3f}, {speed:,.0f} tokens/s")
            yield result


def _save(model: Any, request: Request) -> None:
    import deepspeed
    from torch import distributed

    from med42lib.train.weights import save_trained

    save_trained(model, request, gather=deepspeed.zero.GatheredParameters, writes=distributed.get_rank() == 0)
