"""DeepSpeed as a training process uses it: import, joining the others, settings, and the engine with its optimiser.

Nothing else imports DeepSpeed; `fragments` knows where its engine keeps what.
"""

from __future__ import annotations

import os
import sys
import warnings
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from med42lib.core.environment import THREADS_VARIABLE, num_cores
from med42lib.core.errors import EnvironmentProblem
from med42lib.train.config import ResolvedConfig, TrainConfig
from med42lib.train.memory import bucket_size
from med42lib.train.worker.starts import check_start

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

MAX_WAIT = timedelta(days=3)
"""How long processes wait for what one does alone: it fetches, writes or puts what is large, or asks the store.

Each node fetches the whole base, 2.2 TB for 16 nodes and 70 billion weights. A peer that ends is noticed at once; a
lost machine when its pod starts on another, or these are over.
"""


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


def join_processes(config: TrainConfig) -> ProcessGroup:
    """Connect the processes: NCCL between GPUs, gloo otherwise.

    Returns:
        All of them once more, to wait in for what one does alone: where they compute together, DeepSpeed has them give
        up after ten minutes. It is of gloo, since NCCL's watchdog ends what waits.

    Raises:
        SystemExit: If the others are of another start than this process.
    """
    import torch
    from torch import distributed

    from med42lib.train.four_bit import check_four_bit

    # torch reads the variable when it is imported, and a fork has torch from its parent.
    torch.set_num_threads(int(os.environ.get(THREADS_VARIABLE) or num_cores()))
    on_gpu = torch.cuda.is_available()
    # DeepSpeed and PEFT use names that torch and transformers will drop, and are told so at every call.
    warnings.simplefilter("ignore", FutureWarning)
    deepspeed = import_deepspeed("cuda" if on_gpu else "cpu")
    check_precision(config.precision, _supported_formats())
    deepspeed.accelerator.get_accelerator().set_device(int(os.environ["LOCAL_RANK"]))
    if config.method == "qlora":
        check_four_bit(torch.device("cuda" if on_gpu else "cpu"))
    check_start(os.environ)  # just before it would be met: what is above takes seconds
    deepspeed.init_distributed("nccl" if on_gpu else "gloo", verbose=False)
    waiting: ProcessGroup = distributed.new_group(backend="gloo", timeout=MAX_WAIT)
    return waiting


def leave_processes(waiting: ProcessGroup) -> None:
    """Wait for the others, and take the connection down."""
    from torch import distributed

    distributed.barrier(group=waiting)
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


def deepspeed_config(config: ResolvedConfig, num_processes: int) -> dict[str, Any]:
    """Say in DeepSpeed's terms how to train."""
    per_forward = config.micro_batch_size * num_processes
    return {
        "train_batch_size": config.global_batch_size,
        "train_micro_batch_size_per_gpu": config.micro_batch_size,
        "gradient_accumulation_steps": config.global_batch_size // per_forward,
        "gradient_clipping": config.max_grad_norm,
        # ZeRO-1 would copy gradients that it does not split, and hold them twice.
        "zero_optimization": {"stage": config.zero_stage, "contiguous_gradients": config.zero_stage != 1},
        "bf16": {"enabled": config.precision == "bfloat16"},
        "fp16": {"enabled": config.precision == "float16"},
        "steps_per_print": sys.maxsize,
    }


def make_engine(config: ResolvedConfig, base: Path) -> Any:
    """Load the base model, with an adapter if the method has one, and give it to DeepSpeed with its optimiser."""
    import deepspeed
    from torch import distributed
    from torch.optim import AdamW
    from transformers.integrations import HfDeepSpeedConfig

    from med42lib.train.model import load_model, parameter_groups
    from med42lib.train.weights import count_elements

    settings = deepspeed_config(config, distributed.get_world_size())
    # While this object lives, transformers builds models split between the processes (ZeRO-3).
    announcement = HfDeepSpeedConfig(settings)
    model = load_model(base, config)
    num_trained = count_elements(p for p in model.parameters() if p.requires_grad)
    settings["zero_optimization"]["reduce_bucket_size"] = bucket_size(num_trained)
    optimizer = AdamW(
        parameter_groups(model, config.weight_decay),
        lr=config.learning_rate,
        betas=(config.adam_beta1, config.adam_beta2),
        eps=config.adam_epsilon,
        fused=True,
    )
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=settings, dist_init_required=False)
    del announcement
    return engine


def gathered_parameters(*arguments: Any, **options: Any) -> Any:
    """Give the context in which parameters are whole that ZeRO-3 has split."""
    import deepspeed

    return deepspeed.zero.GatheredParameters(*arguments, **options)
