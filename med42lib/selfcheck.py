"""`python -m med42lib.selfcheck` shows which versions are installed, allowed and tested.

It reads what installers wrote down and imports no library, so it is quick; with `--import` it imports all of them, and
says which GPUs torch was built for. Its exit code is 4 if something is missing, outside the allowed range or cannot be
imported. A version that is allowed and not the tested one is no problem.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import get_args

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from med42lib.core.errors import EnvironmentProblem
from med42lib.engine.runtime import Runtime

DISTRIBUTION = "med42-suite"
TESTED_VERSIONS = "tested_versions.txt"
RUNTIME_VARIABLE = "MED42_RUNTIME"
"""Set in every image."""

WHOLE_RUN = (*get_args(Runtime), "pipeline")
"""The extras that a run on one machine needs."""

_RUNTIME_HELP = f"one runtime alone (default: ${RUNTIME_VARIABLE}, which images set, or a whole run)"


@dataclass(frozen=True, slots=True)
class Library:
    """A distribution: the version that is installed, those that are allowed, and the one that is tested."""

    name: str
    found: str | None
    allowed: SpecifierSet
    tested: str | None

    @property
    def problem(self) -> str | None:
        """Say what is wrong with it, and None if nothing is."""
        if self.found is None:
            return f"{self.name} is not installed; allowed is {self.allowed or 'any version'}"
        if not self.allowed.contains(self.found, prereleases=True):
            return f"{self.name} {self.found} is installed; allowed is {self.allowed}"
        return None


def libraries(extras: Iterable[str]) -> list[Library]:
    """List what this package and some of its extras require, by name, and Python first.

    Raises:
        EnvironmentProblem: If this package is not installed, so that nothing says what it requires.
    """
    try:
        metadata = importlib.metadata.metadata(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError as error:
        raise EnvironmentProblem(
            f"{DISTRIBUTION} is not installed: in its clone, pip install --constraint constraints.txt --editable ."
        ) from error
    allowed: dict[str, SpecifierSet] = {}
    for requirement in requirements(metadata.get_all("Requires-Dist", []), extras):
        name = canonicalize_name(requirement.name)
        allowed[name] = allowed.get(name, SpecifierSet()) & requirement.specifier
    python = Library("python", platform.python_version(), SpecifierSet(metadata["Requires-Python"]), None)
    return [python, *(_library(name, allowed[name]) for name in sorted(allowed))]


def requirements(texts: Sequence[str], extras: Iterable[str]) -> Iterator[Requirement]:
    """Take from a package's requirements those that hold without an extra, and those of some extras.

    An extra may be made of others (`demo` of `base`, `train` …).
    """
    for extra in ["", *extras]:
        for requirement in map(Requirement, texts):
            if not _applies(requirement, extra):
                continue
            if canonicalize_name(requirement.name) == DISTRIBUTION:
                yield from requirements(texts, requirement.extras)
            else:
                yield requirement


def _applies(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    return not extra if marker is None else marker.evaluate({"extra": extra})


def _library(name: str, allowed: SpecifierSet) -> Library:
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        found = None
    return Library(name, found, allowed, tested_versions().get(name))


def import_problem(library: Library) -> str | None:
    """Import a library and say what went wrong, and None if nothing did."""
    from med42lib.engine.key import DISTRIBUTIONS

    packages = {canonicalize_name(distribution): package for package, distribution in DISTRIBUTIONS.items()}
    package = packages.get(canonicalize_name(library.name), library.name.replace("-", "_"))
    try:
        importlib.import_module(package)
    except (ImportError, OSError, RuntimeError) as error:
        return f"{library.name} {library.found} cannot be imported: {error}"
    return None


@cache
def tested_versions() -> dict[str, str]:
    """Read the versions that this project is tested with, by name. The file is constraints.txt of the repository."""
    text = files("med42lib").joinpath(TESTED_VERSIONS).read_text(encoding="utf-8")
    pins = (line.partition("==") for line in text.splitlines() if "==" in line)
    return {canonicalize_name(name): version for name, _, version in pins}


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table of versions, and one line per problem; returns the exit code."""
    parser = ArgumentParser("python -m med42lib.selfcheck", description=__doc__)
    runtime = os.environ.get(RUNTIME_VARIABLE)
    parser.add_argument("--runtime", choices=get_args(Runtime), default=runtime, help=_RUNTIME_HELP)
    parser.add_argument("--import", action="store_true", dest="importing", help="import the libraries too")
    arguments = parser.parse_args(argv)
    try:
        checked = libraries([arguments.runtime] if arguments.runtime else WHOLE_RUN)
    except EnvironmentProblem as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for row in [("library", "found", "allowed", "tested"), *map(_row, checked)]:
        print("{:<24}{:<16}{:<16}{}".format(*row).rstrip())
    problems = [library.problem for library in checked if library.problem]
    if arguments.importing:
        problems += _import(checked)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return EnvironmentProblem.exit_code if problems else 0


def _import(checked: Sequence[Library]) -> list[str]:
    """Import what is there, and show which GPUs torch was built for."""
    found = [library for library in checked[1:] if library.found]
    problems = [problem for library in found if (problem := import_problem(library))]
    if torch := sys.modules.get("torch"):
        print(f"torch was built for {' '.join(torch.cuda.get_arch_list()) or 'CPUs alone'}")
    return problems


def _row(library: Library) -> tuple[str, str, str, str]:
    return library.name, library.found or "missing", str(library.allowed) or "any", library.tested or "–"


if __name__ == "__main__":
    sys.exit(main())
