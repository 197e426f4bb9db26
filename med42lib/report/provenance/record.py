"""How the run was made: data, packing, training, scoring, stages and versions, read from small files alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Any

from med42lib.core.errors import DataError
from med42lib.core.json_file import read_json
from med42lib.formats.item_counts import ItemCounts, read_item_counts
from med42lib.formats.mixture_table import read_mixture
from med42lib.formats.model_folder import ADAPTER_CONFIG_FILE, ADAPTER_FOLDER, MODEL_FOLDER
from med42lib.formats.models import BASE
from med42lib.formats.packed import INFO_FILE, PackInfo
from med42lib.formats.recipe import ADVICE, RECIPE_FILE, Recipe
from med42lib.formats.scores import SCORES_SUMMARY_FILE
from med42lib.formats.validation import VALIDATION_LOSS
from med42lib.formats.written import display_name
from med42lib.store.artifacts import Source, Sources
from med42lib.store.base import PACKAGE_SCHEME
from med42lib.store.lineage import Lineage, trace
from med42lib.store.manifest import Input

_ORIGINS = {
    "Base model": ("fetch_model", "weights"),
    "Training data": ("assemble", "data"),
    "Benchmark data": ("benchmarks", "data"),
    "Encoder of the leak search": ("decontaminate", "encoder"),
}
"""Which stage reads what a run starts from, and as which input."""

Curve = tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """What one fine-tune recorded of itself; None where it did not.

    `losses` and `validation_losses` hold (step, loss). `tokens_per_second` is the median over steps, `final_loss` the
    mean over the last tenth of the steps. `peak_memory_gib` is a GPU's, or a process's where CPUs trained.
    """

    settings: Mapping[str, object] = field(default_factory=dict)
    recipe: Recipe | None = None
    adapted_layers: frozenset[str] = frozenset()
    losses: Curve = ()
    validation_losses: Curve = ()
    tokens_per_second: float | None = None
    train_seconds: float | None = None
    peak_memory_gib: float | None = None

    @property
    def method(self) -> str:
        """How it was trained: `full` or `lora`; empty if neither its recipe nor its settings say."""
        return self.recipe.method if self.recipe else str(self.settings.get("method") or "")

    @property
    def first_loss(self) -> float | None:
        """The first step's loss."""
        return self.losses[0][1] if self.losses else None

    @property
    def final_loss(self) -> float | None:
        """The mean loss over the last tenth of the steps, at least one."""
        last = self.losses[-max(1, len(self.losses) // 10) :]
        return mean(loss for _, loss in last) if last else None


@dataclass(frozen=True, slots=True)
class FinishedStage:
    """One finished stage: how long it took, what it wrote, and the content's digest."""

    name: str
    seconds: float
    rows: int | None
    digest: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Everything the report says about how the run was made."""

    mixture: tuple[Mapping[str, Any], ...]
    questions: Mapping[str, ItemCounts]
    packing: PackInfo
    pack_settings: Mapping[str, object]
    decontaminate_settings: Mapping[str, object]
    training: Mapping[str, TrainingRecord]
    scoring: Mapping[str, Mapping[str, Any]]
    stages: tuple[FinishedStage, ...]
    versions: Mapping[str, str]
    encoder: str | None
    origins: Mapping[str, Input]

    @property
    def base_model(self) -> str | None:
        """Name the base model as its address does; None if no manifest says."""
        origin = self.origins.get("Base model")
        return encoder_name(origin.address) if origin else None

    @property
    def dropped_training(self) -> bool:
        """Say whether the examples that leaked questions match were dropped before training."""
        return self.decontaminate_settings.get("action") == "drop_training"

    @property
    def dropped_by_words(self) -> bool:
        """Say whether the examples that words alone find were dropped too."""
        return self.decontaminate_settings.get("dropped_by") == "either"

    @property
    def stems_apart(self) -> bool:
        """Say whether pairs that share no more than a generic stem are no leaks."""
        settings = self.decontaminate_settings
        return (settings.get("generic_stems"), settings.get("text")) == ("tell_apart", "question")

    @property
    def num_examples(self) -> int:
        """Count the training examples of the mixture."""
        return sum(int(row["sampled"]) for row in self.mixture)

    @property
    def sources(self) -> set[str]:
        """Name the sources of the mixture that gave any example."""
        return {str(row["source"]) for row in self.mixture if row["sampled"]}

    def source_title(self, source: str) -> str:
        """Give the name that the mixture has for a source; one made of its short name if it has none."""
        titles = (row.get("title") for row in self.mixture if row["source"] == source)
        return str(next(titles, None) or display_name(source))

    @property
    def finished_at(self) -> str | None:
        """When the last of the stages finished, in UTC; None if no manifest says."""
        return max((stage.created_at for stage in self.stages), default=None)


def read_provenance(sources: Mapping[str, Source], trained: Sources, scores: Sources) -> Provenance:
    """Read what the report's inputs recorded of themselves; no weights are fetched.

    Args:
        sources: The report's single inputs by the names of their edges.
        trained: The fine-tunes by the models' names.
        scores: The scores by the models' names, the base's among them.

    Raises:
        DataError: If a file is broken, or one that its stage always writes is missing.
    """
    packed = sources["packed"]
    flat = dict(_flat({**sources, "trained": trained, "scores": scores}))
    lineage = trace(*(source for source in flat.values() if source.manifest is not None))
    return Provenance(
        mixture=tuple(read_mixture(sources["dataset"])),
        questions=read_item_counts(sources["items"]),
        packing=PackInfo.read(packed.path(INFO_FILE).parent),
        pack_settings=_settings(packed),
        decontaminate_settings=_settings(sources["contamination"]),
        training={name: read_training(source) for name, source in trained.items()},
        scoring=_read_scoring(scores),
        stages=_read_stages(lineage, flat),
        versions=_versions(flat.values()),
        encoder=_encoder(sources["contamination"]),
        origins=_origins(lineage),
    )


def _origins(lineage: Lineage) -> dict[str, Input]:
    """Find what the run started from, by what it is; what no manifest says is left out."""
    found = {output.manifest.stage: output.manifest.inputs for output in lineage.outputs}
    inputs = {what: found.get(stage, {}).get(name) for what, (stage, name) in _ORIGINS.items()}
    return {what: origin for what, origin in inputs.items() if origin is not None}


def _flat(sources: Mapping[str, Source | Sources]) -> Iterator[tuple[str, Source]]:
    for edge, source in sources.items():
        if isinstance(source, Source):
            yield edge, source
        else:
            yield from ((f"{edge}.{name}", member) for name, member in source.items())


def read_training(source: Source) -> TrainingRecord:
    """Read a fine-tune's settings, its recipe and its metrics; a step logged twice counts with its last value."""
    series: dict[str, dict[int, float]] = {}
    for point in source.metrics():
        series.setdefault(point.key, {})[point.step] = point.value
    rates = list(series.get("tokens_per_second", {}).values())
    return TrainingRecord(
        settings=_settings(source),
        recipe=Recipe.read(source.path(RECIPE_FILE)) if source.has(RECIPE_FILE) else None,
        adapted_layers=_adapted_layers(source),
        losses=tuple(sorted(series.get("loss", {}).items())),
        validation_losses=tuple(sorted(series.get(VALIDATION_LOSS, {}).items())),
        tokens_per_second=median(rates) if rates else None,
        train_seconds=_last(series, "train_seconds"),
        peak_memory_gib=max(series.get("peak_memory_gib", {}).values(), default=None),
    )


def _adapted_layers(source: Source) -> frozenset[str]:
    """Read the names of the layers that an adapter's own configuration gives; none if there is no adapter."""
    name = f"{ADAPTER_FOLDER}/{ADAPTER_CONFIG_FILE}"
    layers = read_json(source.path(name), ADVICE).get("target_modules") if source.has(name) else None
    return frozenset([layers] if isinstance(layers, str) else layers or ())


def _read_scoring(sources: Mapping[str, Source]) -> Mapping[str, Mapping[str, Any]]:
    """Read how each benchmark was scored, and make sure that it was the same for all models."""
    summaries = {
        model: read_json(source.path(SCORES_SUMMARY_FILE), "run evaluate again") for model, source in sources.items()
    }
    base = summaries[BASE]
    for model, summary in summaries.items():
        for benchmark, how in base.items():
            _check_same_scoring(benchmark, model, how, summary.get(benchmark, {}))
    return dict(base)


def _check_same_scoring(benchmark: str, model: str, base: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    for name in ("scoring", "normalise", "prompt"):
        if base.get(name) != other.get(name):
            raise DataError(
                f"{benchmark} was scored with {name} {base.get(name)!r} for the base model but {other.get(name)!r} for "
                f"{model}; such scores cannot be compared: run evaluate for all models with the same settings"
            )


def _last(series: Mapping[str, Mapping[int, float]], key: str) -> float | None:
    values = list(series.get(key, {}).values())
    return values[-1] if values else None


def _settings(source: Source) -> Mapping[str, object]:
    return source.manifest.config if source.manifest else {}


def _versions(sources: Iterable[Source]) -> dict[str, str]:
    """Merge the versions that the inputs were made with; two of one package are both named."""
    found: dict[str, set[str]] = {}
    for source in sources:
        for package, version in (source.manifest.versions if source.manifest else {}).items():
            found.setdefault(package, set()).add(version)
    return {package: ", ".join(sorted(versions)) for package, versions in sorted(found.items())}


def _encoder(contamination: Source) -> str | None:
    """Name the encoder as its address does, and its content's digest."""
    edge = contamination.manifest.inputs.get("encoder") if contamination.manifest else None
    return None if edge is None else f"{encoder_name(edge.address)} (content {edge.digest[:12]})"


def encoder_name(address: str) -> str:
    """Take the last part of an address that names something: packages and stages keep a model in `model/`."""
    *around, last = address.rstrip("/").split("/")
    named = around[-1] if last == MODEL_FOLDER and around else ""
    return (named or last).removeprefix(PACKAGE_SCHEME)


def _read_stages(lineage: Lineage, sources: Mapping[str, Source]) -> tuple[FinishedStage, ...]:
    """List every stage behind the report, upstream first; manifests alone are read."""
    names = lineage.names({source.address: edge for edge, source in sources.items()})
    manifests = [run[0].manifest for run in lineage.stage_runs()]
    return tuple(
        FinishedStage(name, manifest.seconds, manifest.rows, manifest.digest, manifest.created_at)
        for name, manifest in zip(names, manifests, strict=True)
    )
