"""What a stage is: a function `stage(config, *, <input>: Source | Sources, <output>: Target)`, found by name.

The few that need it also name a `StageContext`. The edges are read off the function's signature and its code off its
imports. Only its Kubeflow component says the edges again, for kfp reads signatures too; a test compares the two.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin

from med42lib.core.config import SPEED_ONLY, StageConfig
from med42lib.core.names import module_names
from med42lib.engine.closure import Closure, closure, module_file
from med42lib.engine.context import StageContext
from med42lib.engine.runtime import Runtime
from med42lib.store.artifacts import Source, Sources, Target


@dataclass(frozen=True, slots=True)
class Shown:
    """What a user interface shows beside a finished stage, under a name of its own: something of one output.

    Of `html` and `markdown`, `what` is a file; of a `curve`, a metric, drawn over its steps; of `metrics`, how the
    names of those begin that are shown, without that beginning; of a `model`, shown by its address, a JSON file.
    """

    name: str
    kind: Literal["html", "markdown", "curve", "metrics", "model"]
    output: str
    what: str = ""


@dataclass(frozen=True)
class Stage:
    """A stage of the graph, loaded on first use.

    `package` is its Python package: `<package>.stage` holds the function called `name`, `<package>.config`
    the settings class. Without `reuse` it runs each time (what it does lies outside the store, in MLflow).

    What its imports do not show is declared: `loads` are packages whose modules it imports by names made up at run
    time, `libraries` those that another library imports for it, `data` patterns of files that it reads beside its code.
    Of a `live` one people watch the metrics while it works. Of one `in_parts` a spec has settings for each model, or
    for each shard: its sections are `<name>.<part>`.
    """

    name: str
    package: str
    config_name: str
    reuse: bool = True
    loads: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    shown: tuple[Shown, ...] = ()
    live: bool = False
    in_parts: bool = False
    runtime: Runtime = field(kw_only=True)

    @cached_property
    def function(self) -> Callable[..., None]:
        """The stage's function."""
        module = importlib.import_module(f"{self.package}.stage")
        function: Callable[..., None] = getattr(module, self.name)
        return function

    @cached_property
    def config_class(self) -> type[StageConfig]:
        """The class of its settings."""
        found: type[StageConfig] = getattr(importlib.import_module(f"{self.package}.config"), self.config_name)
        return found

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Names of its inputs, those of several addresses among them, in the signature's order."""
        return self._edges(Source, Sources)

    @cached_property
    def mappings(self) -> tuple[str, ...]:
        """Names of those inputs that are `Sources`: a mapping from names to addresses."""
        return self._edges(Sources)

    @cached_property
    def speed_only(self) -> tuple[str, ...]:
        """Names of those inputs that only spare work and change no result (`Annotated[Sources, SPEED_ONLY]`)."""
        return tuple(p.name for p in self._parameters if SPEED_ONLY in getattr(p.annotation, "__metadata__", ()))

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """Names of its outputs, in the signature's order."""
        return self._edges(Target)

    @cached_property
    def contexts(self) -> tuple[str, ...]:
        """Names of its parameters that get the call's context: one, or none."""
        return self._edges(StageContext)

    @cached_property
    def closure(self) -> Closure:
        """The code and the libraries that decide its results."""
        found = closure(self.modules)
        return replace(found, libraries=found.libraries.union(self.libraries))

    @cached_property
    def modules(self) -> tuple[str, ...]:
        """The modules that its code begins at."""
        loaded = [f"{package}.{name}" for package in self.loads for name in module_names(package)]
        return (f"{self.package}.stage", f"{self.package}.config", *loaded)

    @property
    def data_files(self) -> dict[str, Path]:
        """The files beside its code that it reads, by their path in its package; hidden files are none of them."""
        folder = _folder(self.package)
        paths = sorted(path for pattern in self.data for path in folder.glob(pattern))
        return {path.relative_to(folder).as_posix(): path for path in paths if not path.name.startswith(".")}

    def _edges(self, *kinds: object) -> tuple[str, ...]:
        return tuple(p.name for p in self._parameters if _kind(p.annotation) in kinds)

    @cached_property
    def _parameters(self) -> tuple[inspect.Parameter, ...]:
        parameters = inspect.signature(self.function, eval_str=True).parameters.values()
        return tuple(p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)


def _kind(annotation: object) -> object:
    """Take the mark off an annotation, if it has one."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _folder(package: str) -> Path:
    path = module_file(package)
    assert path is not None, f"there is no package {package}"
    return path.parent
