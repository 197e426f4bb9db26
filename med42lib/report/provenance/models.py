"""What a run's models are called: by their names, and by how they were really trained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from med42lib.core.errors import ConfigError, Problem
from med42lib.formats.models import BASE, trained_as
from med42lib.report.provenance.record import TrainingRecord

FULL, LORA = "full", "lora"
_LABELS = {BASE: "Base", FULL: "Full", LORA: "LoRA"}
_SUBJECTS = {BASE: "the base model", FULL: "full fine-tuning", LORA: "LoRA"}
_ONE_TRAINING = {FULL: "this full fine-tune", LORA: "this LoRA fine-tune"}
_NUM_COLOURS = 6
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Model:
    """A model that was scored.

    `method` is `base`, or what a fine-tune recorded of itself (`full`, `lora`), empty if it recorded nothing. `number`
    is its place among the models, 0 for the base. `trainings` names those that differ in nothing but their seed, itself
    the first; none for the base.
    """

    name: str
    method: str
    number: int
    trainings: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Name it in a table: `lora` is "LoRA", `lora_r64` "LoRA r64", `wide` "wide (LoRA)", if trained so."""
        label = _LABELS.get(self.method, self.method)
        first, *rest = self.name.split("_")
        if first == self.method:
            return " ".join([label, *rest])
        return f"{self.name} ({label})" if label else self.name

    @property
    def subject(self) -> str:
        """Name it in a sentence.

        What was trained once is no method: "this full fine-tune", "this LoRA r64 fine-tune"; "full fine-tuning" is what
        was trained with several seeds. The method's name is enough where the model has no other.
        """
        named = self.name == self.method
        if self.name == BASE or self.has_seeds:
            return _SUBJECTS.get(self.method, self.title) if named else self.title
        return (
            _ONE_TRAINING.get(self.method, f"this {self.title} fine-tune") if named else f"this {self.title} fine-tune"
        )

    @property
    def has_seeds(self) -> bool:
        """Say whether it was trained several times."""
        return len(self.trainings) > 1

    @property
    def colour(self) -> str:
        """Give its class in the style sheet."""
        return BASE if self.name == BASE else f"model-{1 + (self.number - 1) % _NUM_COLOURS}"

    @property
    def is_adapter(self) -> bool:
        """Say whether it is the base with an adapter on top."""
        return self.method not in (BASE, FULL, "")


def make_models(training: Iterable[tuple[str, TrainingRecord]]) -> tuple[Model, ...]:
    """List the base and then the fine-tunes, each with the method that its own record says.

    Trainings are one fine-tune if they are named so, `lora` and `lora_seed2`, and recorded nothing else than another
    seed.
    """
    records = dict(training)
    trainings: dict[str, list[str]] = {}
    for name, record in records.items():
        first = records.get(trained_as(name))
        alike = first is not None and _without_seed(record) == _without_seed(first) != {}
        trainings.setdefault(trained_as(name) if alike else name, []).append(name)
    tuned = (
        Model(name, records[name].method, number, tuple(sorted(names, key=lambda n: (len(n), n))))
        for number, (name, names) in enumerate(trainings.items(), start=1)
    )
    return (Model(BASE, BASE, 0), *tuned)


def _without_seed(record: TrainingRecord) -> dict[str, object]:
    return {key: value for key, value in record.settings.items() if key != "seed"}


def pairs_to_compare(asked: Sequence[Pair], models: Sequence[Model]) -> tuple[Pair, ...]:
    """Give the pairs that were asked for, or if none were: each with the base, and the first full with the first LoRA.

    Raises:
        ConfigError: If a pair names a model that there is not.
    """
    names = [model.name for model in models]
    if unknown := sorted({name for pair in asked for name in pair} - set(names)):
        problem = f"names {', '.join(map(repr, unknown))}; the models are {', '.join(names)}"
        raise ConfigError("settings of report", [Problem("compare", problem)])
    if asked:
        return tuple(asked)
    with_base = [(model.name, BASE) for model in models if model.name != BASE]
    first = {model.method: model.name for model in reversed(models)}
    both = [(first[FULL], first[LORA])] if FULL in first and LORA in first else []
    return (*with_base, *both)
