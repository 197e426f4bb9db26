"""`make lock` writes what each image installs, with hashes: `images/requirements/<flavor>/<layer>.txt`.

A package stands in one file only. What all runtimes have is in `common`, what the runtimes with torch share is in
`torch`, and each runtime's own file has the rest, so that images share their layers as files:

    common ─┬─ base
            ├─ tracking
            └─ torch ─┬─ embed
                      ├─ train
                      └─ eval
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from med42lib.engine.runtime import Runtime

REPOSITORY = Path(__file__).parents[1]
REQUIREMENTS = REPOSITORY / "images" / "requirements"
COMMON, TORCH = "common", "torch"
PYPI_FLAVOR = "cu130"
"""What PyPI's torch is built for."""

Pins = Mapping[str, str]
"""Text of each pinned requirement, its hashes included, by its name."""


def direct(runtime: str) -> set[str]:
    """Name what pyproject.toml asks of a runtime by name, as package indexes spell it."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [*project["dependencies"], *project["optional-dependencies"][runtime]]
    return {canonicalize_name(Requirement(text).name) for text in texts}


def layers_of(runtime: str) -> list[str]:
    """Name the layers that a runtime's image is made of, from the lowest."""
    return [COMMON, TORCH, runtime] if TORCH in direct(runtime) else [COMMON, runtime]


def divide(pins: Mapping[str, Pins]) -> dict[str, Pins]:
    """Divide the runtimes' requirements into layers, so that none stands in two of those that an image is made of.

    Args:
        pins: All that each runtime needs.
    """
    common = _shared(list(pins.values()))
    torch = _shared([found for runtime, found in pins.items() if TORCH in layers_of(runtime)])
    below = {runtime: torch if TORCH in layers_of(runtime) else common for runtime in pins}
    own = {runtime: _without(found, below[runtime]) for runtime, found in pins.items()}
    return {COMMON: common, TORCH: _without(torch, common), **own}


def _shared(pins: Sequence[Pins]) -> Pins:
    names = set.intersection(*(set(found) for found in pins))
    return {name: text for name, text in pins[0].items() if name in names}


def _without(pins: Pins, others: Pins) -> Pins:
    return {name: text for name, text in pins.items() if name not in others}


def resolve(extra: str, torch_index: str | None) -> Pins:
    """Ask uv for all that an extra of pyproject.toml needs, in the tested versions.

    Raises:
        subprocess.CalledProcessError: If nothing satisfies the requirements; uv has said why.
    """
    return parse(_compile("pyproject.toml", "--extra", extra, torch_index=torch_index))


def _compile(*arguments: str, torch_index: str | None) -> str:
    index = ["--index", torch_index, "--index-strategy", "unsafe-best-match"] if torch_index else []
    command = ["uv", "pip", "compile", *arguments, *index, "--constraint", "constraints.txt", "--generate-hashes"]
    command += ["--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_28", "--no-header"]
    command += ["--no-annotate", "--quiet", "--upgrade"]
    here = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    return subprocess.run(command, cwd=REPOSITORY, env=here, check=True, stdout=subprocess.PIPE, text=True).stdout


def parse(text: str) -> Pins:
    """Read a requirements file as uv writes it: a pin, and under it, indented, its hashes."""
    blocks = re.findall(r"^\S.*\n(?:[ \t].*\n)*", text, flags=re.MULTILINE)
    return {block.partition("==")[0]: block for block in blocks if not block.startswith("#")}


def main(argv: Sequence[str] | None = None) -> None:
    """Write one flavor's files, and that of the tools."""
    parser = ArgumentParser("python -m images.lock", description=__doc__.partition("\n")[0])
    parser.add_argument("--flavor", default=PYPI_FLAVOR, help="folder to write (default: %(default)s, PyPI's torch)")
    parser.add_argument("--torch-index", help="address of the package index that has this flavor of torch")
    arguments = parser.parse_args(argv)
    folder = REQUIREMENTS / arguments.flavor
    folder.mkdir(parents=True, exist_ok=True)
    resolved = {runtime: resolve(runtime, arguments.torch_index) for runtime in get_args(Runtime)}
    for layer, pins in divide(resolved).items():
        (folder / f"{layer}.txt").write_text("".join(pins.values()), encoding="utf-8")
    tools = _compile("images/requirements/tools.in", torch_index=None)
    (REQUIREMENTS / "tools.txt").write_text(tools, encoding="utf-8")


if __name__ == "__main__":
    main()
