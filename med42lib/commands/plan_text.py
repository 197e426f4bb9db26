"""What `med42 plan` prints: of the mixture, of each training, and of all trainings side by side on a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

from med42lib.core.environment import num_cores
from med42lib.core.printable import counted
from med42lib.formats.models import Precision
from med42lib.pack.config import PackConfig
from med42lib.planning.decontamination import (
    GPU_SHARE,
    PAIRS_PER_CORE_SECOND,
    RATES_SOURCE,
    TOKENS_PER_CORE_SECOND,
    plan_decontamination,
)
from med42lib.planning.duration import MFU_SOURCE, Duration, default_mfu, plan_duration
from med42lib.planning.hardware import GIBIBYTE, GPUS, Cluster, Gpu
from med42lib.planning.mixture import SourcePlan, count_chunks, count_trained_tokens
from med42lib.planning.room import checkpoint_bytes, plan_room
from med42lib.planning.training import fits, smallest_cluster, variants_of, workload
from med42lib.spec import RunSpec
from med42lib.train.config import TrainConfig
from med42lib.train.fit import count_steps
from med42lib.train.memory import GpuMemory, Workload, count_trained, gpu_memory
from med42lib.train.shapes import Shapes, count_parameters

_GIGABYTE = 1e9
_USUAL_GPU = "a100-80"
_HEADINGS = {"optimizer": "optimiser"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user said of hardware; None where nothing was."""

    cluster: Cluster | None = None
    price: float | None = None
    mfu: float | None = None


@dataclass(frozen=True, slots=True)
class Training:
    """One of a spec's trainings; `shapes` are None where the base model is not known."""

    name: str
    config: TrainConfig
    pack: PackConfig
    shapes: Shapes | None
    sources: Sequence[SourcePlan]

    @property
    def tokens(self) -> float:
        """Tokens of the packed data, those that are held out too."""
        return sum(source.tokens for source in self.sources)

    @property
    def span(self) -> float:
        """Positions that attention may go back: a chunk's, or a sample's where samples are apart."""
        if self.pack.policy == "concatenate":
            return float(self.pack.chunk_length)
        return self.tokens / max(1, sum(source.rows for source in self.sources))

    def duration(self, shapes: Shapes, work: Workload, cluster: Cluster, mfu: float) -> Duration:
        """Work out how long it takes on a cluster."""
        return plan_duration(
            shapes,
            work,
            cluster,
            chunks=count_chunks(self.sources, self.pack),
            tokens=count_trained_tokens(self.sources, self.pack),
            span=self.span,
            mfu=mfu,
        )


def mixture_lines(spec: RunSpec, sources: Sequence[SourcePlan]) -> Iterator[str]:
    """Describe the mixture and its sources."""
    rows, tokens = sum(source.rows for source in sources), sum(source.tokens for source in sources)
    about = "" if all(source.rows_counted for source in sources) else "~"
    remarks = {source.remark for source in sources}
    common = remarks.pop() if len(remarks) == 1 else ""
    yield f"training data    {common or spec.inputs.training_data}"
    yield f"  mixture        {about}{counted(rows, 'row')}, ~{tokens:,.0f} tokens, {counted(len(sources), 'source')}:"
    width = max(len(source.name) for source in sources)
    for source in sources:
        number = f"{'' if source.rows_counted else '~'}{source.rows:,}"
        each = f"~{source.tokens_per_row:,.0f} tokens each{', measured' if source.tokens_measured else ''}"
        remark = f"; {source.remark}" if source.remark != common else ""
        yield f"    {source.name:<{width}} {number:>10} rows, {each}{remark}"
    if share := spec.pack.validation_share:
        yield f"held out         ~{tokens * share:,.0f} tokens, {share:.2%}, which are measured and not trained on"
    chunks = count_chunks(sources, spec.pack)
    yield f"chunks           ~{chunks:,} of {spec.pack.chunk_length:,} tokens if no slot stays empty"


def decontamination_lines(
    spec: RunSpec, sources: Sequence[SourcePlan], own_items: Mapping[str, int], asked: Asked
) -> Iterator[str]:
    """Describe what is embedded and compared, and how long that takes here and on a GPU."""
    plan = plan_decontamination(spec.decontaminate, spec.benchmarks, sources, own_items)
    gpu = asked.cluster.gpu if asked.cluster else GPUS[_USUAL_GPU]
    cores, shards = num_cores(), spec.decontaminate.shards
    unknown = f", besides those of {', '.join(plan.unknown)}" if plan.unknown else ""
    on_cores = f"on {cores} cores" + (f" of each of {shards} machines" if shards > 1 else "")
    to_embed, to_compare = map(_length, plan.gpu_seconds(gpu))
    yield f"decontaminate    ~{plan.questions:,} questions, ~{plan.items:,} items{unknown}"
    yield f"  embedding      ~{plan.tokens:,} tokens, {plan.tokens_each} each, {plan.embed_flops:.1e} FLOPs"
    yield f"                 {_length(plan.embed_seconds(cores) / shards)} {on_cores}, {to_embed} on one {gpu.name}"
    yield f"  comparing      ~{plan.questions * plan.items:,} pairs, {plan.compare_flops:.1e} FLOPs for all of them"
    yield f"                 {_length(plan.compare_seconds(cores))} on {cores} cores"
    yield f"                 {to_compare} if one {gpu.name} did it, which is left to the CPU"
    yield f"  rates          of a core {TOKENS_PER_CORE_SECOND:,} tokens, {PAIRS_PER_CORE_SECOND:.1e} pairs a second:"
    yield f"                 {RATES_SOURCE}"
    yield f"                 of a GPU computed, not measured: {GPU_SHARE:.0%} of its data sheet's float32"


def _length(seconds: float) -> str:
    """Say how long something takes, in the unit that fits."""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"~{seconds / size:,.0f} {unit}"
    return f"~{seconds:,.1f} s"


def training_lines(training: Training, asked: Asked) -> Iterator[str]:
    """Describe one training: its size, its steps, and its memory on a cluster if one was named."""
    config, shapes = training.config, training.shapes
    yield f"train {training.name:<10} {config.method}"
    if config.has_adapter and config.lora.layers == "outside_experts":
        yield "  adapter        on no expert and router of a mixture, nor on what PEFT cannot tell from them"
    if shapes is not None:
        trained, total = count_trained(shapes, config), count_parameters(shapes)
        about = "" if shapes.exact else "~"
        yield f"  parameters     {about}{trained:,} of {about}{total:,} ({trained / total:.2%})"
        yield f"  checkpoint     {about}{checkpoint_bytes(shapes, config) / _GIGABYTE:,.2f} GB"
    num_steps = count_steps(count_chunks(training.sources, training.pack), config)
    about = "" if num_steps == config.max_steps else "~"
    yield f"  steps          {about}{num_steps:,} of {config.global_batch_size} chunks"
    if config.warmup_steps >= num_steps:
        yield f"  too short      for a warm-up of {config.warmup_steps:,} steps, which train will refuse"
    if asked.cluster is not None and config.precision == "float32":
        yield f"  slow           {_slowness(asked.cluster.gpu)}"
    if shapes is not None:
        clusters = (smallest_cluster(shapes, config, training.pack, gpu) for gpu in GPUS.values())
        found = [str(cluster) for cluster in clusters if cluster is not None]
        yield f"  smallest       {', '.join(found) or 'none: it fits no number of the GPUs that are known here'}"
        if asked.cluster is not None:
            yield from _memory_lines(shapes, training, asked.cluster)


def _slowness(gpu: Gpu) -> str:
    faster: Precision = "bfloat16" if gpu.has_bfloat16 else "float16"
    times = gpu.flops(faster) / gpu.flops("float32")
    return f"in float32 {gpu.name} is {times:.0f} times slower than in {faster}: set precision to that"


def _memory_lines(shapes: Shapes, training: Training, cluster: Cluster) -> Iterator[str]:
    """Tabulate memory of each GPU by part, for each ZeRO stage, with and without gradient checkpointing."""
    parts = [field.name for field in fields(GpuMemory)]
    num_gpus = cluster.num_gpus
    work = workload(training.config, training.pack, shapes, cluster.gpu, num_gpus)
    yield f"  memory, GiB    of each of {num_gpus} GPUs; * is what train takes"
    rows = [["", *(_HEADINGS.get(part, part) for part in parts), "total", f"fits, of {num_gpus} GPUs"]]
    for variant in variants_of(work):
        memory = gpu_memory(shapes, variant, num_gpus)
        kinds = [gpu.name for gpu in GPUS.values() if fits(shapes, variant, gpu, num_gpus)]
        sizes = [*(getattr(memory, part) for part in parts), memory.total]
        rows.append(
            [_variant(variant, work), *(f"{size / GIBIBYTE:,.2f}" for size in sizes), " ".join(kinds) or "none"]
        )
    yield from (f"    {line}" for line in _aligned(rows))


def _variant(variant: Workload, work: Workload) -> str:
    config = variant.config
    chosen = "*" if config == work.config else " "
    return f"{chosen} ZeRO-{config.zero_stage}{', checkpointing' if config.gradient_checkpointing else ''}"


def cluster_lines(trainings: Sequence[Training], asked: Asked) -> Iterator[str]:
    """Tabulate what all trainings take of a cluster, side by side; of none, say how to name one."""
    if asked.cluster is None:
        yield "memory, hours    with --on KIND-NODESxGPUS, such as --on v100-16x8"
        return
    columns = [
        [training.name, *_column(training, training.shapes, asked.cluster, asked)]
        for training in trainings
        if training.shapes is not None
    ]
    if columns:
        cluster = asked.cluster
        labels = [f"on {counted(cluster.nodes, 'node')} of {cluster.gpus_per_node} {cluster.gpu.name}", *_labels(asked)]
        yield from _aligned([list(row) for row in zip(labels, *columns, strict=True)])
        if asked.mfu is None:
            yield f"MFU: {MFU_SOURCE}; --mfu says another."


def _labels(asked: Asked) -> list[str]:
    labels = ["  tokens trained on", "  FLOPs", "  MFU", "  hours", "  GPU-hours"]
    labels += [f"  money, at {asked.price:g} a GPU-hour"] if asked.price else []
    return [
        *labels,
        "  GPU memory, GiB of each",
        "  main memory, GB a node",
        "  /dev/shm, GB a node",
        "  scratch, GB a node",
        "  fetched by a start, GB",
        "  checkpoint, GB",
        "  object storage, GB",
    ]


def _column(training: Training, shapes: Shapes, cluster: Cluster, asked: Asked) -> list[str]:
    work = workload(training.config, training.pack, shapes, cluster.gpu, cluster.num_gpus)
    mfu = asked.mfu or default_mfu(work.config)
    took = training.duration(shapes, work, cluster, mfu)
    room = plan_room(shapes, work, cluster, training.tokens)
    memory = gpu_memory(shapes, work, cluster.num_gpus)
    gigabytes = (room.host_memory, room.shared_memory, room.scratch, room.fetched, room.checkpoint, room.storage)
    return [
        f"~{took.tokens:,.0f}",
        f"~{took.flops:.2e}",
        f"{mfu:.2f}",
        f"~{took.hours:,.1f}",
        f"~{took.gpu_hours:,.0f}",
        *([f"~{took.gpu_hours * asked.price:,.0f}"] if asked.price else []),
        f"{memory.total / GIBIBYTE:,.1f} of {cluster.gpu.usable_bytes / GIBIBYTE:,.1f}",
        *(f"{size / _GIGABYTE:,.1f}" for size in gigabytes),
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Put cells into columns, the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([f"{first:<{widths[0]}}", *cells])
