"""Whether a training fits a cluster, the smallest that it fits, and what stands in its way: all problems at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from med42lib.core.errors import DataError, Problem
from med42lib.pack.config import PackConfig
from med42lib.planning.base_model import BaseModel
from med42lib.planning.hardware import GIBIBYTE, GPUS, Cluster, Gpu, cluster_sizes, gpu_of_product
from med42lib.planning.memory import Workload, gpu_memory
from med42lib.planning.shapes import Shapes
from med42lib.spec import RunSpec
from med42lib.train.config import TrainConfig
from med42lib.train.fit import fit_problems
from med42lib.train.launchers.template import JobTemplate

_STAGES = (1, 2, 3)
_PRODUCT_LABEL = "nvidia.com/gpu.product"


def workload(config: TrainConfig, pack: PackConfig) -> Workload:
    """Put together what decides a training's memory."""
    return Workload(config, pack.chunk_length, pack.policy)


def variants(work: Workload) -> Iterator[Workload]:
    """Give the same training with each ZeRO stage, with and without gradient checkpointing."""
    for stage in _STAGES:
        for checkpointing in (False, True):
            settings: Mapping[str, Any] = {"zero_stage": stage, "gradient_checkpointing": checkpointing}
            yield Workload(work.config.model_copy(update=settings), work.chunk_length, work.policy)


def fits(shapes: Shapes, work: Workload, gpu: Gpu, num_gpus: int) -> bool:
    """Say whether a training can be done on so many GPUs of a kind."""
    return (
        gpu.computes(work.config.precision)
        and not any(fit_problems(work.config, processes=num_gpus, num_steps=None))
        and gpu_memory(shapes, work, num_gpus).total <= gpu.usable_bytes
    )


def smallest_cluster(shapes: Shapes, work: Workload, gpu: Gpu) -> Cluster | None:
    """Find the fewest GPUs of a kind, in nodes of 8, that a training fits; None if more of them do not help."""
    sizes = (size for size in cluster_sizes() if fits(shapes, work, gpu, size))
    return next((Cluster.of_size(gpu, size) for size in sizes), None)


def cluster_of(template: JobTemplate) -> Cluster | None:
    """Tell which cluster a template of training jobs asks for; None if it names no GPU that is known here."""
    gpu = gpu_of_product(str(template.pod["spec"].get("nodeSelector", {}).get(_PRODUCT_LABEL)))
    return None if gpu is None else Cluster(gpu, template.nodes, template.processes_per_node)


def cluster_problems(spec: RunSpec, base: BaseModel, cluster: Cluster) -> Iterator[Problem]:
    """List why a spec's trainings cannot be done on a cluster, but for batches, which the spec's own check looks at."""
    for name, config in spec.train.items():
        if not cluster.gpu.computes(config.precision):
            what = f"is {config.precision}, which {cluster.gpu.name} does not compute; set float16"
            yield Problem(f"train.{name}.precision", what)
    with suppress(DataError):  # of a kind whose sizes have other names
        shapes = Shapes.read(base.config or {})
        for name, config in spec.train.items():
            work = workload(config, spec.pack)
            needed = gpu_memory(shapes, work, cluster.num_gpus).total
            if needed > cluster.gpu.usable_bytes:
                yield Problem(f"train.{name}", _too_large(shapes, work, cluster, needed))


def _too_large(shapes: Shapes, work: Workload, cluster: Cluster, needed: float) -> str:
    there = cluster.gpu.usable_bytes / GIBIBYTE
    ways = " or ".join(_ways(shapes, work, cluster)) or "none that is known here"
    return (
        f"needs {needed / GIBIBYTE:,.1f} GiB of each GPU on {cluster}, which has {there:,.1f} for it, with "
        f"{_memory_settings(work)}; it fits with {ways}"
    )


def _ways(shapes: Shapes, work: Workload, cluster: Cluster) -> list[str]:
    """Name what would fit: other settings on this cluster, the smallest cluster of this kind, or else of others."""
    others = (other for other in variants(work) if fits(shapes, other, cluster.gpu, cluster.num_gpus))
    ways = [_memory_settings(other) for other in islice(others, 1)]
    if (same_kind := smallest_cluster(shapes, work, cluster.gpu)) is not None:
        ways.append(f"the cluster {same_kind}")
    if not ways:
        found = (smallest_cluster(shapes, work, gpu) for gpu in GPUS.values())
        ways = [f"the cluster {other}" for other in found if other is not None]
    return ways


def _memory_settings(work: Workload) -> str:
    checkpointing = str(work.config.gradient_checkpointing).lower()
    return f"zero_stage: {work.config.zero_stage} and gradient_checkpointing: {checkpointing}"
