"""A run's specification: one YAML file, one section per stage, and the addresses of what it starts from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from med42lib.assemble.config import AssembleConfig
from med42lib.benchmarks.config import BenchmarksConfig
from med42lib.core.config import StageConfig, parse_config
from med42lib.core.errors import ConfigError, Problem
from med42lib.decontaminate.config import DecontaminateConfig
from med42lib.evaluate.config import EvaluateConfig
from med42lib.fetch_model.config import FetchModelConfig
from med42lib.pack.config import PackConfig
from med42lib.package_model.config import PackageModelConfig
from med42lib.register.config import RegisterConfig
from med42lib.report.config import ReportConfig
from med42lib.train.config import TrainConfig


class Inputs(StageConfig):
    """What a run starts from: addresses of a folder, `s3://bucket/prefix` or `package:name/path`."""

    training_data: str = Field(min_length=1)
    """Folder of the publishers' training files."""

    benchmark_data: str = Field(min_length=1)
    """Folder of the publishers' evaluation files."""

    base_model: str = Field(min_length=1)
    """The base model's folder or file."""

    encoder: str = Field(min_length=1)
    """The SentenceTransformers model that decontamination embeds with."""


class Training(StageConfig):
    """The two fine-tunes that are compared."""

    full: TrainConfig
    """Full-parameter fine-tuning."""

    lora: TrainConfig
    """Low-rank adaptation."""


class RunSpec(StageConfig):
    """Everything that decides a run's result."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,40}$")
    """Name of the run: lower-case letters, digits, `-` and `_`."""

    inputs: Inputs
    """What the run starts from."""

    fetch_model: FetchModelConfig
    benchmarks: BenchmarksConfig
    assemble: AssembleConfig
    decontaminate: DecontaminateConfig
    pack: PackConfig
    train: Training
    evaluate: EvaluateConfig
    report: ReportConfig
    package_model: PackageModelConfig
    register_: RegisterConfig = Field(alias="register")


def load_spec(path: Path, overrides: Sequence[str] = ()) -> RunSpec:
    """Read a spec and apply `section.field=value` overrides, whose values are YAML.

    Raises:
        ConfigError: If the file or an override cannot be read, or anything in the result is wrong: all problems
            at once, each with its path.
    """
    values = _read_yaml(path)
    problems = [problem for override in overrides if (problem := _apply(values, override))]
    if problems:
        raise ConfigError("overrides (--set)", problems)
    return parse_config(RunSpec, values, title=f"{path}" + (" with --set" if overrides else ""))


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except OSError as error:
        raise ConfigError("spec", [Problem(str(path), f"cannot be read ({error.strerror}); check the path")]) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError("spec", [Problem(str(path), f"is not YAML: {error}")]) from error
    if not isinstance(values, dict):
        raise ConfigError("spec", [Problem(str(path), "holds no sections; start from pipelines/specs/demo.yaml")])
    return values


class _StrictLoader(yaml.SafeLoader):
    """Plain YAML in which a key that stands twice is an error: PyYAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key) for key, _ in node.value]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise yaml.constructor.ConstructorError(None, None, f"{twice!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _apply(values: dict[str, Any], override: str) -> Problem | None:
    """Set one field in place; unknown names are found later, by validation."""
    path, equals, text = override.partition("=")
    if not equals or not path:
        return Problem(override, "is not of the form section.field=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return Problem(override, f"the value {text!r} is not YAML")
    *parents, last = path.split(".")
    place: Any = values
    for name in parents:
        place = _child(place, name)
        if place is None:
            return Problem(override, f"{name!r} is not a section that can be set into")
    if isinstance(place, list):
        if not last.isdigit() or int(last) >= len(place):
            return Problem(override, f"{last!r} is not a position in a list of {len(place)}")
        place[int(last)] = value
    else:
        place[last] = value
    return None


def _child(place: Any, name: str) -> Any:
    if isinstance(place, list):
        return place[int(name)] if name.isdigit() and int(name) < len(place) else None
    child = place.setdefault(name, {})
    return child if isinstance(child, dict | list) else None
