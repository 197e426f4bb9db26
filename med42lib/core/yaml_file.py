"""YAML that a person wrote: plain, and a file about as large as what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from med42lib.core.errors import ConfigError, Problem
from med42lib.core.excerpts import brief

_TEXT_TAG = "tag:yaml.org,2002:str"
_NUMBER_TAGS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_KINDS = ("tag:yaml.org,2002:null", "tag:yaml.org,2002:bool", *_NUMBER_TAGS)
_LONGEST_NUMBER = 100
_OF_ANOTHER_BASE = re.compile(r"[-+]?0[\dbx_][^.]*|.*:.*")
"""Numbers that YAML 1.1 reads in base 2, 8, 16 or 60: 010 as 8, 1:30 as 90."""


def read_yaml(path: Path, *, title: str) -> Any:
    """Read a file.

    Raises:
        ConfigError: If it cannot be read or is not plain YAML; under `title`, with the file's path.
    """
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(title, [Problem(str(path), f"cannot be read ({error.strerror}); check the path")]) from error
    except ValueError as error:
        raise ConfigError(title, [Problem(str(path), f"is not YAML: {error}")]) from error


def parse_yaml(text: str) -> Any:
    """Read YAML.

    Raises:
        ValueError: If it is not plain YAML; says what and where.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{where}{error.problem}") from error
    except yaml.YAMLError as error:
        raise ValueError(str(error).partition("\n")[0]) from error
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


class _StrictLoader(yaml.SafeLoader):
    """Plain YAML, in which a file is about as large as what it says.

    PyYAML would silently keep the last of two equal keys; here they are an error. Aliases and merge keys (`*`, `<<`)
    let a few bytes say gigabytes, and make a reader look elsewhere for what a setting is; tags (`!!`) make values of
    other kinds than settings have. None of them is read, and no number that is not decimal. A date is text.
    """

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None or event.tag is not None:
            raise _not_plain("anchors, aliases and tags (&, *, !) are not read here; write the value out", event)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.tag != _TEXT_TAG:
                raise _not_plain("a key is not plain text; if it is meant to be, put it in quotes", key)
            if key.value in seen:
                raise _not_plain(f"{brief(key.value)} stands twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        if node.tag in _NUMBER_TAGS and len(node.value) > _LONGEST_NUMBER:
            raise _not_plain(f"a number of {len(node.value):,} characters", node)
        if node.tag in _NUMBER_TAGS and _OF_ANOTHER_BASE.fullmatch(node.value):
            raise _not_plain(f"{node.value} is no decimal number; write one, or put it in quotes if it is text", node)
        return super().construct_scalar(node)


_StrictLoader.yaml_implicit_resolvers = {
    character: [(tag, pattern) for tag, pattern in resolvers if tag in _KINDS]
    for character, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _not_plain(problem: str, place: yaml.Node | yaml.Event) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, place.start_mark)  # type: ignore[arg-type]
