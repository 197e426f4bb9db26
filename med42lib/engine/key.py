"""The name of an output: what it was made of, never where, when or by whom."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterable, Mapping

from med42lib.core.config import StageConfig
from med42lib.engine.closure import Closure, find_module
from med42lib.engine.stage import Stage

KEY_DIGITS = 16
ABSENT = "absent"
_PYTHON = "python"

DISTRIBUTIONS = {"yaml": "PyYAML"}
"""Distributions that are not called as their package is."""

BEHIND = {
    "sentence_transformers": ("tokenizers", "torch", "transformers"),
    "transformers": ("tokenizers",),
}
"""Libraries that do a package's arithmetic or cut its tokens, though our code may not import them itself."""

WITHOUT_EFFECT = frozenset({"pydantic"})
"""Libraries that only read settings, which enter a key by their values."""


def output_key(stage: Stage, config: StageConfig, input_digests: Mapping[str, str]) -> str:
    """Hash what determines a stage's output to 16 hexadecimal digits.

    That is its name, those of its settings that can change the result, the code and the libraries that it uses, and
    the content digests of its inputs. No address, time or host enters.
    """
    ingredients = {
        "stage": stage.name,
        "config": config.key_json(),
        "code": code_digest(stage.closure),
        "data": {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in stage.data_files.items()},
        "inputs": dict(input_digests),
    }
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:KEY_DIGITS]


def code_digest(used: Closure) -> str:
    """Hash the code of modules and the versions of the libraries that they use, Python's among them."""
    versions = library_versions(used.libraries) | {_PYTHON: _python_version()}
    return hashlib.sha256(json.dumps([used.modules, versions], sort_keys=True).encode()).hexdigest()


def named_code(used: Closure) -> dict[str, str]:
    """List what `code_digest` hashes: the sha256 of modules and the versions of libraries, each by its name."""
    return used.modules | library_versions(used.libraries) | {_PYTHON: _python_version()}


def other_code(named: Mapping[str, str]) -> list[str]:
    """Say what of another process's `named_code` is not the same in this one: libraries first, then modules."""
    here = {name: _here(name) for name in sorted(named, key=lambda name: ("." in name, name))}
    return [
        name if "." in name else f"{name} {own} in place of {named[name]}"
        for name, own in here.items()
        if own != named[name]
    ]


def _here(name: str) -> str:
    if "." in name:
        module = find_module(name)
        return module.sha256 if module else ABSENT
    return _python_version() if name == _PYTHON else _version(DISTRIBUTIONS.get(name, name))


def _python_version() -> str:
    return _compatible(platform.python_version())


def library_versions(packages: Iterable[str]) -> dict[str, str]:
    """Say which version of each library is installed, as far as results may depend on it; `absent` for none."""
    named = set(packages) - WITHOUT_EFFECT
    behind = {library for package in named for library in BEHIND.get(package, ())}
    return {package: _version(DISTRIBUTIONS.get(package, package)) for package in sorted(named | behind)}


def _version(distribution: str) -> str:
    try:
        return _compatible(importlib.metadata.version(distribution))
    except importlib.metadata.PackageNotFoundError:
        return ABSENT


def _compatible(version: str) -> str:
    """Cut off what is for repairs alone: 2.8.1+cpu is 2.8; before 1.0 the third number counts too, 0.4.9.2 is 0.4.9."""
    numbers = version.partition("+")[0].split(".")
    return ".".join(numbers[: 3 if numbers[0] == "0" else 2])
