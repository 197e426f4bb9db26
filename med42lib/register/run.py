"""The finished run that is recorded: what it was made from, and by which settings. Only small files are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from med42lib.core.errors import DataError
from med42lib.core.json_file import read_json
from med42lib.formats.mixture_table import read_mixture
from med42lib.formats.model_card import LICENCE_FILE
from med42lib.formats.model_folder import MLMODEL_FILE
from med42lib.formats.models import BASE
from med42lib.formats.recipe import RECIPE_FILE, Recipe
from med42lib.formats.report import REPORT_SUMMARY_FILE
from med42lib.formats.run_settings import setting_at
from med42lib.store.artifacts import Source, Sources
from med42lib.store.base import HUB_SCHEME
from med42lib.store.lineage import Lineage, Output, trace
from med42lib.store.manifest import Manifest

NOT_STATED = "not stated"
_ADAPTER = ("lora.rank", "lora.alpha", "lora.layers", "lora.dropout")
_THAT_MATTER = {
    "assemble": ("multiple_choice", "seed"),
    "decontaminate": ("threshold", "text", "generic_stems", "action", "dropped_by"),
    "pack": ("policy", "chunk_length", "too_long", "seed"),
    "train": (
        *("method", "learning_rate", "warmup_steps", "epochs", "max_steps", "global_batch_size", "precision", "seed"),
        *("adam_beta1", "adam_beta2", "weight_decay", "max_grad_norm", *_ADAPTER),
    ),
    "evaluate": ("scoring", "normalise", "prompt", "limit"),
}
"""Of each stage's settings those that decide what is learned and measured; the others are with its own run."""


@dataclass(frozen=True, slots=True)
class BaseModel:
    """What was fine-tuned: where the run was told to take it from, its content's digest, and its licence.

    `hub` is `owner/name@revision` if that is a repository of a hub, `licence` empty if nobody stated one.
    """

    address: str
    digest: str
    licence: str

    @property
    def hub(self) -> str | None:
        """Give repository and revision; None if it came from no hub."""
        return self.address.removeprefix(HUB_SCHEME) if self.address.startswith(HUB_SCHEME) else None

    @property
    def name(self) -> str:
        """Name it so that somebody else finds it: repository and revision, or the address that was given."""
        return self.hub or self.address


@dataclass(frozen=True)
class FinishedRun:
    """Everything before `register`; `candidate` names the model that is registered, of which `model` is the folder."""

    lineage: Lineage
    candidate: str
    model: Source
    package: Source
    report: Source
    trained: Sources

    @classmethod
    def of(cls, trained: Sources, package: Source, report: Source, *, cache: Path) -> FinishedRun:
        """Walk over all that report and package were made from.

        Raises:
            DataError: If an input is not the output of a stage, or the candidate is none of the models.
        """
        lineage = trace(*trained.values(), package, report, cache=cache)
        candidate = str(lineage.at(package.address).manifest.setting("candidate"))
        model = package if package.has(MLMODEL_FILE) else _chosen(candidate, trained)
        return cls(lineage, candidate, model, package, report, trained)

    @property
    def is_fine_tune(self) -> bool:
        """Say whether the candidate was trained here; the base itself can be registered too."""
        return self.candidate != BASE

    @cached_property
    def metrics(self) -> Mapping[str, float]:
        """What the report measured."""
        return {point.key: point.value for point in self.report.metrics()}

    @cached_property
    def summary(self) -> Mapping[str, Any]:
        """Every number of the report, with intervals."""
        return read_json(self.report.path(REPORT_SUMMARY_FILE), "run report again")

    @cached_property
    def base(self) -> BaseModel:
        """Find the base by what `fetch_model` recorded; without it, all that is known is where it lay."""
        entry = self.manifest(self.package).input("base")
        fetched = self._find(entry.address)
        if fetched is None or fetched.manifest.stage != "fetch_model":
            return BaseModel(entry.address, entry.digest, "")
        stated = read_json(fetched.source.path(LICENCE_FILE), "") if fetched.source.has(LICENCE_FILE) else {}
        weights = fetched.manifest.inputs.get("weights", entry)
        return BaseModel(weights.address, entry.digest, str(stated.get("licence") or ""))

    @cached_property
    def dataset(self) -> Output | None:
        """Find the assembled mixture that the report is about; None if it was cleared away."""
        entry = self.manifest(self.report).inputs.get("dataset")
        return self._find(entry.address) if entry else None

    @cached_property
    def mixture(self) -> Sequence[Mapping[str, Any]]:
        """Read the rows of the data card's table: sources that something was taken of."""
        rows = read_mixture(self.dataset.source) if self.dataset else []
        return [row for row in rows if row["sampled"]]

    @property
    def licences(self) -> list[tuple[str, str]]:
        """List whose licence is which: the base's and each source's, empty where none is stated."""
        return [("the base model", self.base.licence), *((row["title"], row["licence"]) for row in self.mixture)]

    @cached_property
    def recipe(self) -> Recipe | None:
        """Read what the candidate's training recorded of itself, if it did."""
        source = self.trained.get(self.candidate)
        return Recipe.read(source.path(RECIPE_FILE)) if source and source.has(RECIPE_FILE) else None

    def manifest(self, source: Source) -> Manifest:
        """Give what was recorded of one of the inputs."""
        return self.lineage.at(source.address).manifest

    def settings(self) -> dict[str, object]:
        """List the settings that matter, by their paths in a spec, in the order of the stages."""
        found = {"base_model": self.base.name, "package_model.candidate": self.candidate}
        return found | dict(self._of_stages()) | self._of_models()

    def _of_stages(self) -> dict[str, object]:
        first: dict[str, Manifest] = {}
        for output in self.lineage.outputs:
            first.setdefault(output.manifest.stage, output.manifest)
        stages = (stage for stage in _THAT_MATTER if stage in first and stage != "train")
        return {f"{stage}.{name}": value for stage in stages for name, value in _chosen_settings(first[stage])}

    def _of_models(self) -> dict[str, object]:
        manifests = {name: self.manifest(source) for name, source in self.trained.items()}
        return {f"train.{m}.{name}": value for m in manifests for name, value in _chosen_settings(manifests[m])}

    def _find(self, address: str) -> Output | None:
        return next((output for output in self.lineage.outputs if output.source.address == address), None)


def _chosen(name: str, trained: Sources) -> Source:
    if name not in trained:
        raise DataError(f"package_model chose {name!r}, but the models given are {', '.join(trained) or 'none'}")
    return trained[name]


def _chosen_settings(manifest: Manifest) -> list[tuple[str, object]]:
    """Take a stage's settings that matter, but for those that were left open, and an adapter's where there is none."""
    names = _THAT_MATTER[manifest.stage]
    unread = _ADAPTER if manifest.config.get("method") == "full" else ()
    found = ((name, setting_at(manifest.config, name)) for name in names if name not in unread)
    return [(name, value) for name, value in found if value is not None]
