"""Which image each runtime has: read from one lock, `images/images.lock.yaml`, or from another of the same form."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import get_args

import yaml

from med42lib.core.errors import ConfigError, Problem
from med42lib.core.excerpts import brief
from med42lib.core.yaml_file import read_yaml
from med42lib.engine.runtime import Runtime

Images = Mapping[Runtime, str]
"""A reference for each runtime: `registry/name@sha256:…`, or `name:tag` where digests are of no use."""

RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
_REFERENCE = re.compile(r"[a-z0-9][\w.:/-]*(@sha256:[0-9a-f]{64})?", re.ASCII)
_PARTS = re.compile(r"(?P<name>.+?)(:(?P<tag>[\w.-]+))?(@(?P<digest>sha256:[0-9a-f]{64}))?", re.ASCII)

OWN_LOCK = Path(__file__).parents[1] / "images" / "images.lock.yaml"
_HEADER = "# The image of each runtime: `make images PUSH=1` writes it when it has pushed one.\n"


def image_of(runtime: Runtime) -> str:
    """Give the image that the project's own lock names."""
    return _own()[runtime]


@cache
def _own() -> Images:
    return read_images(OWN_LOCK)


def read_images(path: Path) -> Images:
    """Read a lock: a reference for each runtime, and nothing else.

    Raises:
        ConfigError: If it cannot be read, a runtime is missing or unknown, or something is no reference.
    """
    values = read_yaml(path, title="images")
    if not isinstance(values, dict):
        raise ConfigError("images", [Problem(str(path), f"has no line `runtime: image` (given: {brief(values)})")])
    if problems := list(_problems(values)):
        raise ConfigError(str(path), problems)
    return {runtime: values[runtime] for runtime in RUNTIMES}


def write_images(path: Path, images: Images) -> None:
    """Write a lock."""
    lines = [f"{runtime}: {images[runtime]}\n" for runtime in RUNTIMES]
    path.write_text(_HEADER + "".join(lines), encoding="utf-8")


def kustomization(images: Images) -> str:
    """Write the kustomize Component that puts these images into manifests, which call them `med42/<runtime>`."""
    parts = {runtime: _PARTS.fullmatch(images[runtime]) for runtime in RUNTIMES}
    entries = [
        {"name": f"med42/{runtime}", "newName": match["name"], "newTag": match["tag"], "digest": match["digest"]}
        for runtime, match in parts.items()
        if match is not None
    ]
    given = [{key: value for key, value in entry.items() if value} for entry in entries]
    component = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component", "images": given}
    return _HEADER + yaml.safe_dump(component, sort_keys=False)


def _problems(values: Mapping[object, object]) -> Iterator[Problem]:
    for name in values.keys() - set(RUNTIMES):
        yield Problem(str(name), f"is no runtime; they are {', '.join(RUNTIMES)}")
    for runtime in RUNTIMES:
        value = values.get(runtime)
        if not isinstance(value, str) or not _REFERENCE.fullmatch(value):
            example = f"registry.example.com/med42/{runtime}@sha256:… or med42/{runtime}:0.1.0"
            yield Problem(runtime, f"is required as a reference like {example} (given: {brief(value)})")


def with_images(document: str, images: Images) -> str:
    """Put other images into a compiled pipeline, wherever it names those of the project's own lock.

    Raises:
        ConfigError: If two runtimes have one image in the project's own lock, and not in the other.
    """
    others: dict[str, str] = {}
    for runtime in RUNTIMES:
        own, other = image_of(runtime), images[runtime]
        if others.setdefault(own, other) != other:
            raise ConfigError("images", [Problem(runtime, f"cannot be {other}: {own} is the image of two runtimes")])
    named = "|".join(re.escape(own) for own in others)
    return re.sub(rf"(?<![\w./-])({named})(?![\w.:@/-])", lambda match: others[match[0]], document)
