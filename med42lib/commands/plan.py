"""`med42 plan SPEC`: rows, tokens, parameters, memory and steps, before anything is downloaded or spent."""

from __future__ import annotations

import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from med42lib.commands.command import Command, add_overrides, add_processes, show
from med42lib.core.errors import DataError
from med42lib.core.printable import printable
from med42lib.planning.base_model import KNOWN_CONFIGS, find_base
from med42lib.planning.mixture import BYTES_PER_TOKEN, SourcePlan, count_chunks, plan_sources
from med42lib.planning.training import GIBIBYTE, plan_training
from med42lib.spec import RunSpec
from med42lib.spec_check import load_checked
from med42lib.train.config import TrainConfig
from med42lib.train.fit import count_steps

GPU_GIBIBYTES = (16, 32, 80)

DESCRIPTION = f"""\
Say what a run will take: rows and tokens of the training data, chunks, parameters, memory of the training states,
optimiser steps. Nothing is run or written, and neither data nor weights need to be here: rows come from the targets,
tokens per row from a table of the sources. Of sources that are here, the first rows are read and counted.

Of a base model that is not here, the shapes are known by its name:
  {", ".join(KNOWN_CONFIGS)}
for instance --set inputs.base_model=llama-2-7b. Of one on a hub or in a bucket, config.json alone is fetched.

Numbers marked ~ are estimates, the others counted. Activations, time and checkpoints are not covered yet.
"""


def plan_lines(spec: RunSpec, cache: Path) -> Iterator[str]:
    """Describe a run, line by line.

    Raises:
        ConfigError: If chunks are longer than the model's context.
        DataError: If the base model's config.json is broken.
        AccessError, StoreError, StoreUnavailable: If the place of the training data cannot be asked.
    """
    base = find_base(spec, cache)
    sources = list(plan_sources(spec.assemble, spec.inputs.training_data, cache))
    chunks = count_chunks(sources, spec.pack.chunk_length)
    yield f"run              {spec.name}"
    yield from _mixture_lines(spec, sources)
    yield f"chunks           ~{chunks:,} of {spec.pack.chunk_length:,} tokens if no slot stays empty"
    yield f"base model       {base.found}"
    if base.config is None:
        yield "  size           unknown; name a folder with a config.json, or one of " + ", ".join(KNOWN_CONFIGS)
    for name, config in spec.train.items():
        yield f"train {name:<10} {config.method}"
        yield from _size_lines(config, base.config)
        yield from _step_lines(config, chunks)
    yield "~ is an estimate. Rows: of the target, or of the paper's Table A1 if that is `all`. Tokens: of a table of"
    yield f"sources or, where measured, of the rows that are here, at {BYTES_PER_TOKEN} bytes per token."


def _mixture_lines(spec: RunSpec, sources: Sequence[SourcePlan]) -> Iterator[str]:
    rows, tokens = sum(source.rows for source in sources), sum(source.tokens for source in sources)
    about = "" if all(source.rows_counted for source in sources) else "~"
    remarks = {source.remark for source in sources}
    common = remarks.pop() if len(remarks) == 1 else ""
    yield f"training data    {common or spec.inputs.training_data}"
    yield f"  mixture        {about}{rows:,} rows, ~{tokens:,.0f} tokens, {len(sources)} sources:"
    width = max(len(source.name) for source in sources)
    for source in sources:
        number = f"{'' if source.rows_counted else '~'}{source.rows:,}"
        each = f"~{source.tokens_per_row:,.0f} tokens each{', measured' if source.tokens_measured else ''}"
        remark = f"; {source.remark}" if source.remark != common else ""
        yield f"    {source.name:<{width}} {number:>10} rows, {each}{remark}"


def _size_lines(config: TrainConfig, model: Mapping[str, Any] | None) -> Iterator[str]:
    if model is None:
        return
    try:
        plan = plan_training(config, model)
    except DataError as error:
        yield f"  size           unknown: {error}"
        return
    share = plan.num_trained_parameters / plan.num_parameters
    gpus = ", ".join(f"{plan.min_gpus(size)} of {size} GiB" for size in GPU_GIBIBYTES)
    yield f"  parameters     {plan.num_trained_parameters:,} of {plan.num_parameters:,} ({share:.2%})"
    yield f"  states         {plan.state_bytes / GIBIBYTE:,.2f} GiB over all processes"
    yield f"  GPUs           at least {gpus} (ZeRO-3, states only)"


def _step_lines(config: TrainConfig, chunks: int) -> Iterator[str]:
    num_steps = count_steps(chunks, config)
    about = "" if num_steps == config.max_steps else "~"
    yield f"  steps          {about}{num_steps:,} of {config.global_batch_size} chunks"
    if config.warmup_steps >= num_steps:
        yield f"  too short      for a warm-up of {config.warmup_steps:,} steps, which train will refuse"


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("spec", type=Path, help="run specification, e.g. pipelines/specs/demo.yaml")
    add_overrides(parser)
    add_processes(parser, "as many as would train here")


def _run(arguments: Namespace) -> int:
    from med42lib.train.launchers import open_launcher

    spec = load_checked(
        arguments.spec, arguments.overrides, processes=arguments.processes or open_launcher().num_processes
    )
    with tempfile.TemporaryDirectory(prefix="med42-plan-") as cache:
        for line in plan_lines(spec, Path(cache)):
            show(printable(line))
    return 0


PLAN = Command("plan", "say what a run will take, before anything is spent", DESCRIPTION, _add_arguments, _run)
