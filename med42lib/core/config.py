"""The base of every stage's settings, and the reading of all their problems at once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence, Set
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_serializer,
)
from pydantic.config import JsonDict

from med42lib.core.errors import MOST_PROBLEMS, ConfigError, Problem
from med42lib.core.excerpts import brief, cut
from med42lib.core.names import did_you_mean

_SPEED_ONLY: JsonDict = {"speed_only": True}

SPEED_ONLY: Any = Field(json_schema_extra=_SPEED_ONLY)
"""Marks a setting that decides speed or memory and not the result: `batch_size: Annotated[int, SPEED_ONLY]`. Outputs
made with another value of it are reused."""

_FOR_THE_KEY = "key"
_FORMERLY = "formerly"
_CHECK = "check its spelling"
_IN_A_USERS_WORDS = {
    "dict_type": "should hold settings by their names",
    "model_type": "should hold settings by their names",
    "tuple_type": "should be a list",
}
Place = tuple[int | str, ...]


def renamed_from(name: str) -> JsonDict:
    """Mark a setting as one that had another name, so that who uses the old one is told: for `json_schema_extra`."""
    return {_FORMERLY: name}


class StageConfig(BaseModel):
    """Settings of one stage: immutable, and an unknown key is an error.

    Every field is documented by the string under it. There is no default for what a user must decide.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False, strict=False
    )

    @field_validator("*", mode="wrap")
    @classmethod
    def _refuse_a_truth_value_for_a_number(cls, value: Any, checked: ValidatorFunctionWrapHandler) -> Any:
        """Make sure of what pydantic does not: `yes`, which is true in YAML, is to be no 1."""
        found = checked(value)
        if isinstance(value, bool) and isinstance(found, int | float) and not isinstance(found, bool):
            raise ValueError("must be a number, and yes and no (true, false) are none")
        return found

    def key_json(self) -> str:
        """Write the settings that can change the result as one JSON line, defaults included: all but `SPEED_ONLY`."""
        values = self.model_dump(mode="json", context=_FOR_THE_KEY)
        return json.dumps(values, sort_keys=True, separators=(",", ":"))

    @model_serializer(mode="wrap")
    def _serialise(self, serialise: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        values: dict[str, Any] = serialise(self)
        if info.context == _FOR_THE_KEY:
            for name in self.outside_key():
                del values[name]
        return values

    def outside_key(self) -> Set[str]:
        """Name the settings that cannot change the result: those of `SPEED_ONLY`."""
        return {name for name, field in type(self).model_fields.items() if field.json_schema_extra == _SPEED_ONLY}


def is_count_or_all(value: object) -> bool:
    """Say whether a value is `all` or a whole number of at least 1, as limits are written."""
    return value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1)


def _count_or_all(value: object) -> object:
    """Check both kinds of limit at once, so that a mistake is one problem and not two."""
    if is_count_or_all(value):
        return value
    raise ValueError("must be 'all' or a whole number of at least 1")


CountOrAll = Annotated[int | Literal["all"], BeforeValidator(_count_or_all)]
"""The type of a limit."""


def written_as(pattern: str, rule: str) -> AfterValidator:
    """Make sure that a text matches a pattern; the error says `rule` in its place, since few users read patterns."""
    expression = re.compile(pattern)

    def checked(text: str) -> str:
        if not expression.fullmatch(text):
            raise ValueError(f"must be {rule}")
        return text

    return AfterValidator(checked)


ConfigT = TypeVar("ConfigT", bound=BaseModel)


def parse_config(kind: type[ConfigT], values: object, *, title: str, prefix: str = "") -> ConfigT:
    """Validate settings, or list every problem with its path.

    Raises:
        ConfigError: If anything in `values` is unknown, missing, of the wrong type or out of range.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        details = error.errors()
        hints = _hints(kind, [d["loc"] for d in details[:MOST_PROBLEMS] if d["type"] == "extra_forbidden"])
        raise ConfigError(title, [_problem(prefix, d, hints.get(d["loc"], "")) for d in details]) from None


def section_of(values: Mapping[str, Any], section: str, *, title: str) -> dict[str, Any]:
    """Give a section of a spec, also one of a section: `pack`, `train.lora`.

    Raises:
        ConfigError: If there is no such section.
    """
    found = values
    for name in section.split("."):
        inner = found.get(name)
        if not isinstance(inner, Mapping):
            there = [each for each in found if isinstance(found[each], Mapping)]
            what = f"is not a section of the spec; there are {', '.join(there) or 'none'}"
            raise ConfigError(title, [Problem(section, what)])
        found = inner
    return dict(found)


def _problem(prefix: str, detail: Any, hint: str) -> Problem:
    where = cut(".".join(str(part) for part in ([prefix] if prefix else []) + list(detail["loc"]) if part != "[key]"))
    if detail["type"] == "missing":
        return Problem(where, "is required and was not given")
    if detail["type"] == "extra_forbidden":
        return Problem(where, f"is not a known setting (given: {brief(detail['input'])}); {hint or _CHECK}")
    what = _IN_A_USERS_WORDS.get(detail["type"]) or _sentence(detail["msg"])
    return Problem(where, f"{what} (given: {brief(detail['input'])})")


def _hints(kind: type[BaseModel], places: Sequence[Place]) -> dict[Place, str]:
    """Say for keys that there are not which of the same section were meant."""
    schema = kind.model_json_schema() if places else {}
    return {place: _hint(str(place[-1]), _section(schema, schema, place[:-1])) for place in places}


def _hint(name: str, section: Mapping[str, Any]) -> str:
    renamed = [new for new, field in section.items() if field.get(_FORMERLY) == name]
    if renamed:
        return f"it is called {renamed[0]} now"
    known = f"there are {', '.join(section)}" if section else _CHECK
    return did_you_mean(cut(name), list(section)) or known


def _section(schema: Mapping[str, Any], node: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Find the settings of a section in a JSON schema, by name; none if the way to it is not known."""
    node = schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
    found = {} if place else dict(node.get("properties", {}))
    inner = [(option, place) for option in node.get("anyOf", ())]
    if place:
        inner += [(child, place[1:]) for child in _children(node, place[0])]
    for child, rest in inner:
        found |= _section(schema, child, rest)
    return found


def _children(node: Mapping[str, Any], name: int | str) -> list[Mapping[str, Any]]:
    """List what a key of a section, a name of a mapping or a place in a list may hold."""
    by_name = node.get("properties", {}).get(name)
    any_name = [node.get("additionalProperties"), node.get("items"), *node.get("patternProperties", {}).values()]
    return [child for child in ([by_name] if by_name else any_name) if isinstance(child, Mapping)]


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ").removeprefix("Input ")
