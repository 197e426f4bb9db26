"""A run's specification: one YAML file, one section per stage, and the addresses of what it starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.json_schema import JsonSchemaValue

from med42lib.assemble.config import AssembleConfig
from med42lib.benchmarks.config import BenchmarksConfig
from med42lib.core.config import StageConfig, parse_config, written_as
from med42lib.core.errors import ConfigError, Problem
from med42lib.core.excerpts import brief, cut
from med42lib.core.yaml_file import parse_yaml, read_yaml
from med42lib.decontaminate.config import DecontaminateConfig
from med42lib.evaluate.answering.config import AnswerQuestionsConfig
from med42lib.evaluate.config import EvaluateConfig
from med42lib.fetch_model.config import FetchModelConfig
from med42lib.formats.models import BASE, ModelName, name_of_seed
from med42lib.pack.config import PackConfig
from med42lib.package_model.config import PackageModelConfig
from med42lib.register.config import RegisterConfig
from med42lib.report.config import ReportConfig
from med42lib.train.config import TrainConfig

SEEDS = "seeds"
"""Beside a model's settings: how often it is trained."""
MOST_SEEDS = 20
SEEDS_SCHEMA: Mapping[str, Any] = {
    "type": "integer",
    "default": 1,
    "description": f"How often a spec's model is trained, 1 to {MOST_SEEDS} times: as NAME with `seed`, as "
    f"`{name_of_seed('NAME', 2)}` with `seed` + 1, and so on; the report judges the method by all of them.",
}
"""What people are told of it. It is no setting of the stage, which sees each training by itself."""


class _WithSeeds:
    """Adds to the settings of a model what a spec may say beside them."""

    def __get_pydantic_json_schema__(self, schema: Any, handler: Callable[[Any], JsonSchemaValue]) -> JsonSchemaValue:
        return {"anyOf": [handler(schema), {"properties": {SEEDS: SEEDS_SCHEMA}}]}


class Inputs(StageConfig):
    """What a run starts from: addresses of a folder, `s3://…`, `package:…` or `hub:…` (`med42lib.store.address`)."""

    training_data: str = Field(min_length=1)
    """Folder of the publishers' training files."""

    benchmark_data: str = Field(min_length=1)
    """Folder of the publishers' evaluation files."""

    base_model: str = Field(min_length=1)
    """The base model's folder or file."""

    encoder: str = Field(min_length=1)
    """The SentenceTransformers model that decontamination embeds with."""


class RunSpec(StageConfig):
    """Everything that decides a run's result."""

    name: Annotated[
        str, written_as(r"[a-z][a-z0-9_-]{0,40}", "lower-case letters, digits, - and _, at most 41, a letter first")
    ]
    """Name of the run: lower-case letters, digits, `-` and `_`."""

    inputs: Inputs
    """What the run starts from."""

    fetch_model: FetchModelConfig
    benchmarks: BenchmarksConfig
    assemble: AssembleConfig
    decontaminate: DecontaminateConfig
    pack: PackConfig
    train: dict[ModelName, Annotated[TrainConfig, _WithSeeds()]]
    """The fine-tunes, any number of them, each under a name of its own: `full`, `lora_r64`. All start from the base
    model; `{}` trains none, and the base alone is scored. `seeds: 3` beside a model's settings trains it three times,
    as `full`, `full_seed2` and `full_seed3` with `seed`, `seed` + 1 and `seed` + 2, and the report judges the method by
    all of them."""

    evaluate: EvaluateConfig
    report: ReportConfig
    package_model: PackageModelConfig
    register_: RegisterConfig = Field(alias="register")

    def shards(self) -> dict[str, int]:
        """Give the number of shards of each section that has some: what a pipeline is compiled for."""
        return {"decontaminate": self.decontaminate.shards, "evaluate": self.evaluate.shards}

    def sections(self) -> dict[str, Any]:
        """Write the settings of all tasks: the spec's sections, and one for each shard of a stage's work."""
        of_shards: Mapping[str, Mapping[str, StageConfig]] = {
            "embed_questions": self.decontaminate.embedding(),
            "answer_questions": AnswerQuestionsConfig.of_all(self.evaluate),
        }
        written = {
            stage: {shard: config.model_dump(mode="json") for shard, config in configs.items()}
            for stage, configs in of_shards.items()
        }
        return self.model_dump(mode="json", by_alias=True) | written


@dataclass(frozen=True, slots=True)
class ReadSpec:
    """A spec as it was read: whole, or the problems of its sections beside those sections that have none.

    `sections` are by their names in the file. Of `train`, the models that have no problem are in it; `models` are all
    that it names, the base first. Neither is there if `train` is no mapping.
    """

    title: str
    spec: RunSpec | None
    problems: list[Problem]
    sections: Mapping[str, Any]


def each_seed(train: object) -> tuple[object, list[Problem]]:
    """Write out the models that are to be trained several times, `lora` with `seeds: 2` as `lora` and `lora_seed2`.

    Returns:
        The models with their settings, without `seeds`, and what is wrong with it.
    """
    if not isinstance(train, Mapping):
        return train, []
    written: dict[Any, Any] = {}
    problems = []
    for name, settings in train.items():
        if not isinstance(settings, Mapping) or SEEDS not in settings:
            written[name] = settings
            continue
        alike = {key: value for key, value in settings.items() if key != SEEDS}
        seeds, seed = settings[SEEDS], settings.get("seed")
        if type(seeds) is not int or not 1 <= seeds <= MOST_SEEDS or type(seed) is not int:
            what = f"is {brief(seeds)}; expected a whole number from 1 to {MOST_SEEDS}, beside a seed"
            problems.append(Problem(f"train.{name}.{SEEDS}", what))
            written[name] = alike
        else:
            trainings = {name_of_seed(name, k): {**alike, "seed": seed + k - 1} for k in range(1, seeds + 1)}
            if twice := sorted(trainings.keys() & (train.keys() - {name})):
                problems.append(Problem(f"train.{name}.{SEEDS}", f"makes {twice[0]}, which is another model's name"))
            written |= trainings
    return written, problems


def load_spec(path: Path, overrides: Sequence[str] = ()) -> RunSpec:
    """Read a spec and apply `section.field=value` overrides, whose values are YAML.

    Raises:
        ConfigError: If the file or an override cannot be read, or anything in the result is wrong: all problems
            at once, each with its path.
    """
    read = read_spec(path, overrides)
    if read.spec is None:
        raise ConfigError(read.title, read.problems)
    return read.spec


def read_spec(path: Path, overrides: Sequence[str] = ()) -> ReadSpec:
    """Read a spec and apply overrides, as far as they can be applied.

    Raises:
        ConfigError: If the file cannot be read.
    """
    title = f"{path}" + (" with --set" if overrides else "")
    values = _read_sections(path)
    problems = [problem for override in overrides if (problem := _apply(values, override))]
    return parse_spec(values, title=title, problems=problems)


def parse_spec(values: Mapping[str, Any], *, title: str, problems: Sequence[Problem] = ()) -> ReadSpec:
    """Make a spec of what its file, or a pipeline's parameter, holds; problems found before are among its own."""
    written, of_seeds = each_seed(values.get("train"))
    values = {**values, "train": written} if "train" in values else values
    problems = [*problems, *of_seeds]
    try:
        spec = parse_config(RunSpec, values, title=title)
    except ConfigError as error:
        return ReadSpec(title, None, [*problems, *error.problems], _sound_sections(values))
    sections = {field.alias or name: getattr(spec, name) for name, field in RunSpec.model_fields.items()}
    found = None if problems else spec
    return ReadSpec(title, found, list(problems), sections | {"models": [BASE, *spec.train]})


def _sound_sections(values: Mapping[str, Any]) -> dict[str, Any]:
    """Read each section by itself, and each model of `train`; leave out those with problems."""
    fields = {field.alias or name: field.annotation for name, field in RunSpec.model_fields.items() if name != "train"}
    sections = _sound(fields, values)
    train = values.get("train")
    if isinstance(train, Mapping):
        sections |= {"train": _sound(dict.fromkeys(train, TrainConfig), train), "models": [BASE, *train]}
    return sections


def _sound(kinds: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, kind in kinds.items():
        with suppress(KeyError, ValidationError):
            found[name] = TypeAdapter(kind).validate_python(values[name])
    return found


def _read_sections(path: Path) -> dict[str, Any]:
    values = read_yaml(path, title="spec")
    if not isinstance(values, dict):
        raise ConfigError("spec", [Problem(str(path), "holds no sections; start from pipelines/specs/demo.yaml")])
    return values


def _apply(values: dict[str, Any], override: str) -> Problem | None:
    """Set one field in place; unknown names are found later, by validation."""
    path, equals, text = override.partition("=")
    where = cut(override)
    if not equals or not path:
        return Problem(where, "is not of the form section.field=value")
    try:
        value = parse_yaml(text)
    except ValueError as error:
        return Problem(where, f"the value {brief(text)} is not YAML: {error}")
    *parents, last = path.split(".")
    place: Any = values
    for name in parents:
        place = _child(place, name)
        if place is None:
            return Problem(where, f"{brief(name)} is not a section that can be set into")
    if isinstance(place, list):
        position = _position(place, last)
        if position is None:
            return Problem(where, f"{brief(last)} is not a position in a list of {len(place)}")
        place[position] = value
    else:
        place[last] = value
    return None


def _child(place: Any, name: str) -> Any:
    if isinstance(place, list):
        position = _position(place, name)
        return None if position is None else place[position]
    child = place.setdefault(name, {})
    return child if isinstance(child, dict | list) else None


def _position(place: list[Any], name: str) -> int | None:
    return next((number for number in range(len(place)) if str(number) == name), None)
