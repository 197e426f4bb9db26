"""Whole numbers of a structure that Kubeflow hands over: it makes a float of every number, 2 as 2.0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from med42lib.core.errors import ConfigError, Problem
from med42lib.core.excerpts import brief

_FIRST_ROUNDED = 1 << 53


def whole_numbers(values: Mapping[str, Any], *, title: str) -> dict[str, Any]:
    """Make whole numbers whole again, wherever in a structure.

    Raises:
        ConfigError: If one is so large that a float does not hold all its digits; says which.
    """
    problems: list[Problem] = []
    found: dict[str, Any] = _whole(values, "", problems)
    if problems:
        raise ConfigError(title, problems)
    return found


def _whole(value: Any, where: str, problems: list[Problem]) -> Any:
    if isinstance(value, Mapping):
        return {name: _whole(child, f"{where}.{name}".lstrip("."), problems) for name, child in value.items()}
    if isinstance(value, list):
        return [_whole(child, f"{where}.{place}", problems) for place, child in enumerate(value)]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and abs(value) >= _FIRST_ROUNDED:
        what = f"Kubeflow rounds whole numbers from 2^53 on; use a smaller one (given: {brief(value)})"
        problems.append(Problem(where, what))
    return value
