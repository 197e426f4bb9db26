"""`med42 plan SPEC --on CLUSTER`: rows, tokens, memory, hours and money of a run, before anything is spent."""

from __future__ import annotations

import tempfile
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from med42lib.commands.command import Command, add_overrides, add_processes, number, show
from med42lib.commands.plan_text import (
    Asked,
    Training,
    cluster_lines,
    decontamination_lines,
    mixture_lines,
    training_lines,
)
from med42lib.core.errors import ConfigError, Problem
from med42lib.core.printable import printable
from med42lib.planning.base_model import KNOWN_CONFIGS, BaseModel, base_doubts, base_problems, find_base
from med42lib.planning.decontamination import count_own_items
from med42lib.planning.duration import MFU_SOURCE
from med42lib.planning.hardware import GPUS, Cluster, parse_cluster
from med42lib.planning.mixture import BYTES_PER_TOKEN, SourcePlan, plan_sources, unusable_sources
from med42lib.planning.training import cluster_problems
from med42lib.spec import RunSpec, read_spec
from med42lib.spec_check import check_spec

DESCRIPTION = f"""\
Say what a run will take: rows and tokens of the training data, how long decontamination embeds and compares, chunks,
parameters, steps, the smallest cluster that each training fits and, with --on, memory of each GPU and node, hours,
GPU-hours and money on that cluster. Nothing is run or written, and neither data nor weights need to be here: rows come
from the targets, tokens per row from a table of the sources. Of sources that are here, the first rows are read and
counted.

  med42 plan SPEC --on v100-16x8                16 nodes of 8 V100s
  med42 plan SPEC --on h100-4x8 --price 2.5     and what it costs at 2.5 for each GPU and hour

GPUs, of which v100, a100 and h100 are the larger ones:
  {", ".join(f"{gpu.name} ({gpu.gibibytes:g} GiB)" for gpu in GPUS.values())}

Of a base model that is not here, the shapes are known by its name:
  {", ".join(KNOWN_CONFIGS)}
for instance --set inputs.base_model=llama-2-70b. Of one on a hub or in a bucket, config.json alone is fetched.

Numbers marked ~ are estimates, the others counted. Hours are as good as --mfu, the share of the GPUs' arithmetic that
does what the model needs. Without it: {MFU_SOURCE}.

The exit code is 0 unless something is wrong. What is wrong is listed at the end, all at once: settings, a source whose
files are missing where others' are, or of which too many rows are broken, chunks or adapters that do not fit the base
model, a number format that the GPUs do not have, and what does not fit their memory.
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a spec asks for, and what was found out of it."""

    spec: RunSpec
    base: BaseModel
    sources: Sequence[SourcePlan]
    own_items: Mapping[str, int]
    asked: Asked

    @classmethod
    def make(cls, spec: RunSpec, cache: Path, asked: Asked) -> Plan:
        """Look at data and base model, as far as they are here.

        Raises:
            DataError: If the base model's config.json is broken.
            AccessError, StoreError, StoreUnavailable: If the place of the data cannot be asked.
        """
        base = find_base(spec, cache)
        sources = list(plan_sources(spec.assemble, spec.inputs.training_data, cache))
        own_items = count_own_items(spec.benchmarks, spec.inputs.benchmark_data)
        return cls(spec, base, sources, own_items, asked)

    @property
    def trainings(self) -> list[Training]:
        """The spec's models, each with all that decides what it takes."""
        return [
            Training(name, config, self.spec.pack, self.base.shapes, self.sources)
            for name, config in self.spec.train.items()
        ]

    def problems(self) -> Iterator[Problem]:
        """List what is wrong, but for what the spec alone shows."""
        yield from unusable_sources(self.sources)
        yield from base_problems(self.spec, self.base)
        if self.asked.cluster is not None:
            yield from cluster_problems(self.spec, self.base, self.asked.cluster)

    def lines(self) -> Iterator[str]:
        """Describe it, line by line."""
        yield f"run              {self.spec.name}"
        yield from mixture_lines(self.spec, self.sources)
        yield from decontamination_lines(self.spec, self.sources, self.own_items, self.asked)
        yield f"base model       {self.base.found}"
        for doubt in base_doubts(self.spec, self.base):
            yield f"  warning        {doubt}"
        if (shapes := self.base.shapes) is None:
            yield f"  size           unknown: {self.base.unknown}"
        elif not shapes.exact:
            yield "  size           ~, and so is all that follows from it: as if it were a Llama"
        elif not shapes.measured:
            yield "  memory         ~, a Llama's of this size, whose activations are fewer: more is needed than is said"
        for training in self.trainings:
            yield from training_lines(training, self.asked)
        yield from cluster_lines(self.trainings, self.asked)
        yield "~ is an estimate. Rows: of the target, or of the paper's Table A1 if that is `all`. Tokens: of a table"
        yield f"of sources or, where measured, of the rows that are here, at {BYTES_PER_TOKEN} bytes per token."
        yield "Steps: as if no slot of a chunk stayed empty; best_fit and vocabularies smaller than Llama's make more."


def _cluster(text: str) -> Cluster:
    try:
        return parse_cluster(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def _share(text: str) -> float:
    value = _positive(text)
    if value > 1:
        raise ArgumentTypeError(f"must be at most 1, as 0.4 for 40 % (given: {text!r})")
    return value


def _positive(text: str) -> float:
    value = number(text)
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"must be a number above 0 (given: {text!r})")
    return value


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("spec", type=Path, help="run specification, e.g. pipelines/specs/demo.yaml")
    add_overrides(parser)
    place: Any = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--on", type=_cluster, metavar="KIND-NODESxGPUS", help="cluster that will train, e.g. v100-16x8 or h200-1x8"
    )
    add_processes(place, "as many as would train here")
    parser.add_argument("--price", type=_positive, metavar="AMOUNT", help="of one GPU for an hour, in any currency")
    parser.add_argument("--mfu", type=_share, metavar="SHARE", help="of the GPUs' arithmetic, above 0 and at most 1")


def _run(arguments: Namespace) -> int:
    _check_options(arguments)
    read = read_spec(arguments.spec, arguments.overrides)
    asked = Asked(arguments.on, arguments.price, arguments.mfu)
    processes = _processes(arguments)
    if read.spec is None:
        check_spec(read, processes=processes)
        raise ConfigError(read.title, read.problems)
    with tempfile.TemporaryDirectory(prefix="med42-plan-") as cache:
        plan = Plan.make(read.spec, Path(cache), asked)
    for line in plan.lines():
        show(printable(line))
    check_spec(read, processes=processes, more=plan.problems())
    return 0


def _check_options(arguments: Namespace) -> None:
    """Refuse what is asked of a cluster where none is named."""
    without_effect = [name for name in ("price", "mfu") if getattr(arguments, name) is not None and not arguments.on]
    if without_effect:
        what = "does nothing without a cluster; name it, as in --on v100-16x8, or leave this out"
        raise ConfigError("med42 plan", [Problem(f"--{name}", what) for name in without_effect])


def _processes(arguments: Namespace) -> int:
    from med42lib.train.launchers.launcher import open_launcher

    if arguments.on is not None:
        return int(arguments.on.num_gpus)
    return int(arguments.processes or open_launcher().num_processes)


PLAN = Command("plan", "say what a run will take, before anything is spent", DESCRIPTION, _add_arguments, _run)
