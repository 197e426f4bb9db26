"""Names that a user gives: which there are, and which was meant."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


def module_names(package: str) -> list[str]:
    """List the modules of a package that have no leading underscore, sorted; none is imported."""
    modules = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return sorted(module.name for module in modules if not module.name.startswith("_"))


@dataclass(frozen=True, slots=True)
class NamedModules:
    """The modules of a package that each declare one thing of a kind, all of them as `variable`."""

    package: str
    kind: str
    variable: str

    def names(self) -> list[str]:
        """List the known names, sorted."""
        return module_names(self.package)

    def known(self, name: str) -> str:
        """Take a name that is known.

        Raises:
            ValueError: If it is not; the message has the nearest and lists all.
        """
        names = self.names()
        if name in names:
            return name
        hint = did_you_mean(name, names)
        raise ValueError(f"is not a known {self.kind}; {f'{hint} There' if hint else 'there'} are: {', '.join(names)}")

    def module(self, name: str) -> str:
        """Give the full name of a module."""
        return f"{self.package}.{name}"

    def load(self, name: str) -> Any:
        """Import the module of a known name, and give what it declares."""
        return getattr(importlib.import_module(self.module(name)), self.variable)


def did_you_mean(name: str, names: Sequence[str]) -> str:
    """Ask "did you mean 'x'?" with the nearest of the names; empty if none is near."""
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else ""
