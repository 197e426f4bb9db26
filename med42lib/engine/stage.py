"""What a stage is: a function `stage(config, *, <input>: Source, <output>: Target)`, found by name.

The edges are read off the function's signature; nothing about a stage is declared twice.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from med42lib.core.config import StageConfig
from med42lib.store.artifacts import Source, Target


@dataclass(frozen=True)
class Stage:
    """A stage of the graph, loaded on first use.

    `package` is its Python package: `<package>.stage` holds the function called `name`, `<package>.config`
    the settings class. Without `reuse` it runs each time (what it does lies outside the store, in MLflow).
    """

    name: str
    package: str
    config_name: str
    reuse: bool = True

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
        """Names of its inputs, in the signature's order."""
        return self._edges(Source)

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """Names of its outputs, in the signature's order."""
        return self._edges(Target)

    @property
    def folder(self) -> Path:
        """Where its code lies."""
        module = importlib.import_module(self.package)
        return Path(str(module.__file__)).parent

    def _edges(self, kind: type) -> tuple[str, ...]:
        parameters = inspect.signature(self.function, eval_str=True).parameters.values()
        edges = [p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
        return tuple(p.name for p in edges if p.annotation is kind)
