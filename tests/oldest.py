"""`python -m tests.oldest` prints the lowest versions that pyproject.toml allows, as constraints; see `make oldest`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOWEST = (">=", "==")


def lowest_versions(extra: str) -> Iterator[str]:
    """Name the lowest version of whatever is always needed, or needed for an extra and those that it is made of.

    Raises:
        ValueError: If a requirement has no lowest version.
    """
    for requirement in map(Requirement, [*PROJECT["dependencies"], *PROJECT["optional-dependencies"][extra]]):
        versions = [bound.version for bound in requirement.specifier if bound.operator in LOWEST]
        if requirement.name == PROJECT["name"]:
            yield from (line for inner in sorted(requirement.extras) for line in lowest_versions(inner))
        elif len(versions) == 1:
            yield f"{requirement.name}=={versions[0]}"
        else:
            raise ValueError(f"pyproject.toml, extra {extra}: {requirement} has no lowest version; add >=")


if __name__ == "__main__":
    print(*sorted(set(lowest_versions("demo"))), sep="\n")
