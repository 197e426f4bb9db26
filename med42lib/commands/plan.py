"""`med42 plan SPEC`: parameters, memory, steps and sizes, before anything is spent."""

from __future__ import annotations

import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from med42lib.commands.command import Command
from med42lib.core.json_file import read_json
from med42lib.core.printable import printable
from med42lib.spec import RunSpec
from med42lib.spec_check import check_base, load_checked
from med42lib.store.artifacts import Source
from med42lib.train.config import TrainConfig

# Llama-2's tokenizer on real medical question-answering text; other tokenizers and texts differ.
BYTES_PER_TOKEN = 3.85
GPU_GIBIBYTES = (16, 32, 80)

DESCRIPTION = """\
Say what a run will take: parameters, memory of the training states, optimiser steps, sizes. Nothing is run or
written. A first version: numbers marked ~ are estimates from the size of the training files; activations, time and
checkpoints are not covered yet.
"""


def plan_lines(spec: RunSpec, cache: Path) -> Iterator[str]:
    """Describe a run, line by line.

    Raises:
        DataError: If an input does not exist.
        ConfigError: If chunks are longer than the model's context.
    """
    data = Source(spec.inputs.training_data)
    sizes = data.sizes().values()
    chunks = max(1, round(sum(sizes) / BYTES_PER_TOKEN / spec.pack.chunk_length))
    yield f"run              {spec.name}"
    yield f"training data    {len(sizes):,} files, {sum(sizes) / 1e6:,.1f} MB in {data.address}"
    yield f"chunks           ~{chunks:,} of {spec.pack.chunk_length:,} tokens if every source is used whole"
    config_file = check_base(spec, cache)
    if config_file is None:
        yield "base model       its size is known once fetch_model has converted it"
        return
    model = read_json(config_file, "check inputs.base_model")
    for name, config in spec.train.items():
        yield from _training_lines(name, config, model, chunks)


def _training_lines(name: str, config: TrainConfig, model: dict[str, Any], chunks: int) -> Iterator[str]:
    from med42lib.commands.sizes import GIBIBYTE, plan_training  # needs numpy, which not every image has

    plan = plan_training(config, model, num_chunks=chunks)
    share = plan.num_trained_parameters / plan.num_parameters
    gpus = ", ".join(f"{plan.min_gpus(size)} of {size} GiB" for size in GPU_GIBIBYTES)
    estimated = "" if config.max_steps else "~"
    yield f"train {name:<10} {plan.num_trained_parameters:,} of {plan.num_parameters:,} parameters ({share:.2%})"
    yield f"  states         {plan.state_bytes / GIBIBYTE:,.2f} GiB over all processes"
    yield f"  GPUs           at least {gpus} (ZeRO-3, states only)"
    yield f"  steps          {estimated}{plan.num_steps:,} of {config.global_batch_size} chunks"
    if config.warmup_steps >= plan.num_steps:
        yield f"  too short      for a warm-up of {config.warmup_steps:,} steps, which train will refuse"


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("spec", type=Path, help="run specification, e.g. pipelines/specs/demo.yaml")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="SECTION.FIELD=VALUE")


def _run(arguments: Namespace) -> int:
    from med42lib.train.launchers import open_launcher

    spec = load_checked(arguments.spec, arguments.overrides, processes=open_launcher().num_processes)
    with tempfile.TemporaryDirectory(prefix="med42-plan-") as cache:
        for line in plan_lines(spec, Path(cache)):
            print(printable(line))
    return 0


PLAN = Command("plan", "say what a run will take, before anything is spent", DESCRIPTION, _add_arguments, _run)
