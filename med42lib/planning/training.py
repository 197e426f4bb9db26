"""Whether a training fits a cluster, the smallest that it fits, and what stands in its way: all problems at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from med42lib.core.errors import Problem
from med42lib.core.log import log
from med42lib.pack.config import PackConfig
from med42lib.planning.base_model import BaseModel, certain_or_warned
from med42lib.planning.hardware import GIBIBYTE, GPUS, Cluster, Gpu, cluster_sizes, gpu_of_product
from med42lib.planning.room import plan_room
from med42lib.spec import RunSpec
from med42lib.train.config import TrainConfig
from med42lib.train.fit import fit_problems
from med42lib.train.launchers.cluster import quantity
from med42lib.train.launchers.template import JobTemplate
from med42lib.train.memory import Workload, gpu_memory
from med42lib.train.memory_choice import choose, variants
from med42lib.train.shapes import Shapes

_PRODUCT_LABEL = "nvidia.com/gpu.product"


def workload(config: TrainConfig, pack: PackConfig, shapes: Shapes, gpu: Gpu, num_gpus: int) -> Workload:
    """Put together what decides a training's memory on so many GPUs of a kind, as it will choose it there itself."""
    masked = shapes.attention.takes_mask(
        config, "ampere" if gpu.has_bfloat16 else "older", chunk_length=pack.chunk_length, policy=pack.policy
    )
    chosen = choose(
        config,
        shapes,
        chunk_length=pack.chunk_length,
        masked=masked,
        num_processes=num_gpus,
        usable_bytes=gpu.usable_bytes,
    )
    return Workload(chosen, pack.chunk_length, masked)


def variants_of(work: Workload) -> Iterator[Workload]:
    """Give the same training with each ZeRO stage, with and without gradient checkpointing."""
    return (replace(work, config=config) for config in variants(work.config))


def fits(shapes: Shapes, work: Workload, gpu: Gpu, num_gpus: int) -> bool:
    """Say whether a training can be done on so many GPUs of a kind."""
    return (
        gpu.computes(work.config.precision)
        and not any(fit_problems(work.config, processes=num_gpus, num_steps=None))
        and gpu_memory(shapes, work, num_gpus).total <= gpu.usable_bytes
    )


def smallest_cluster(shapes: Shapes, config: TrainConfig, pack: PackConfig, gpu: Gpu) -> Cluster | None:
    """Find the fewest GPUs of a kind, in nodes of 8, that a training fits; None if more of them do not help."""
    works = ((size, workload(config, pack, shapes, gpu, size)) for size in cluster_sizes())
    sizes = (size for size, work in works if fits(shapes, work, gpu, size))
    return next((Cluster.of_size(gpu, size) for size in sizes), None)


def cluster_of(template: JobTemplate) -> Cluster | None:
    """Tell which cluster a template of training jobs asks for; None if it names no GPU that is known here."""
    gpu = gpu_of_product(str(template.pod["spec"].get("nodeSelector", {}).get(_PRODUCT_LABEL)))
    return None if gpu is None else Cluster(gpu, template.nodes, template.processes_per_node)


def cluster_problems(spec: RunSpec, base: BaseModel, cluster: Cluster) -> Iterator[Problem]:
    """List why a spec's trainings cannot be done on a cluster, but for batches, which the spec's own check looks at.

    Of a base whose size is a guess, too little memory is a warning.
    """
    for name, config in spec.train.items():
        if not cluster.gpu.computes(config.precision):
            what = f"is {config.precision}, which {cluster.gpu.name} does not compute; set float16"
            yield Problem(f"train.{name}.precision", what)
    if (shapes := base.shapes) is not None:
        for name, config in spec.train.items():
            work = workload(config, spec.pack, shapes, cluster.gpu, cluster.num_gpus)
            needed = gpu_memory(shapes, work, cluster.num_gpus).total
            if needed > cluster.gpu.usable_bytes:
                ways = " or ".join(_ways(shapes, config, spec.pack, cluster)) or "none that is known here"
                problem = Problem(f"train.{name}", _too_large(work, cluster, needed, ways))
                yield from certain_or_warned(shapes, problem)


def warn_of_room(spec: RunSpec, base: BaseModel, cluster: Cluster, template: JobTemplate) -> None:
    """Say which trainings probably need more main memory or disk than the template's pods may have, or request."""
    if base.shapes is None:
        return
    resources = template.container.get("resources", {})
    memory, disk = resources.get("limits", {}).get("memory"), resources.get("requests", {}).get("ephemeral-storage")
    for name, config in spec.train.items():
        work = workload(config, spec.pack, base.shapes, cluster.gpu, cluster.num_gpus)
        room = plan_room(base.shapes, work, cluster, tokens=0)
        if _is_less(memory, needed := room.host_memory + room.shared_memory):
            log("spec").warning(
                "train.%s probably needs %.0f GB of main memory on each node; the template of training jobs limits "
                "its pods to %s",
                name,
                needed / 1e9,
                memory,
            )
        if _is_less(disk, room.scratch):
            log("spec").warning(
                "train.%s probably needs %.0f GB of disk on each node, or its pods are evicted; the template of "
                "training jobs requests %s (ephemeral-storage)",
                name,
                room.scratch / 1e9,
                disk,
            )


def _is_less(amount: object, needed: float) -> bool:
    """Compare an amount of a template; one that is not there, or is none, is not less: the API server says that."""
    try:
        return amount is not None and quantity(amount) < needed
    except ValueError:
        return False


def _too_large(work: Workload, cluster: Cluster, needed: float, ways: str) -> str:
    there = cluster.gpu.usable_bytes / GIBIBYTE
    return (
        f"needs {needed / GIBIBYTE:,.1f} GiB of each GPU on {cluster}, which has {there:,.1f} for it, with "
        f"{_memory_settings(work)}; it fits with {ways}"
    )


def _ways(shapes: Shapes, config: TrainConfig, pack: PackConfig, cluster: Cluster) -> list[str]:
    """Name what would fit: other settings on this cluster, the smallest cluster of this kind, or else of others."""
    works = variants_of(workload(config, pack, shapes, cluster.gpu, cluster.num_gpus))
    others = (other for other in works if fits(shapes, other, cluster.gpu, cluster.num_gpus))
    ways = [_memory_settings(other) for other in islice(others, 1)]
    if (same_kind := smallest_cluster(shapes, config, pack, cluster.gpu)) is not None:
        ways.append(f"the cluster {same_kind}")
    if not ways:
        found = (smallest_cluster(shapes, config, pack, gpu) for gpu in GPUS.values())
        ways = [f"the cluster {other}" for other in found if other is not None]
    return ways


def _memory_settings(work: Workload) -> str:
    checkpointing = str(work.config.gradient_checkpointing).lower()
    return f"zero_stage: {work.config.zero_stage} and gradient_checkpointing: {checkpointing}"
