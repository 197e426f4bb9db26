"""The base of every stage's settings, and the reading of all their problems at once."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)
from pydantic.config import JsonDict

from med42lib.core.errors import ConfigError, Problem
from med42lib.core.printable import brief, cut

_SPEED_ONLY: JsonDict = {"speed_only": True}

SPEED_ONLY: Any = Field(json_schema_extra=_SPEED_ONLY)
"""Marks a setting that decides speed or memory and not the result: `batch_size: Annotated[int, SPEED_ONLY]`. Outputs
made with another value of it are reused."""

_FOR_THE_KEY = "key"


class StageConfig(BaseModel):
    """Settings of one stage: immutable, and an unknown key is an error.

    Every field is documented by the string under it. There is no default for what a user must decide.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False, strict=False
    )

    def canonical_json(self) -> str:
        """Write the settings as one JSON line, the same for equal settings, defaults included."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def key_json(self) -> str:
        """Write the settings that can change the result, those inside others too: all but `SPEED_ONLY`."""
        values = self.model_dump(mode="json", context=_FOR_THE_KEY)
        return json.dumps(values, sort_keys=True, separators=(",", ":"))

    @model_serializer(mode="wrap")
    def _serialise(self, serialise: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        values: dict[str, Any] = serialise(self)
        if info.context == _FOR_THE_KEY:
            for name, field in type(self).model_fields.items():
                if field.json_schema_extra == _SPEED_ONLY:
                    del values[name]
        return values


ConfigT = TypeVar("ConfigT", bound=BaseModel)


def parse_config(kind: type[ConfigT], values: object, *, title: str, prefix: str = "") -> ConfigT:
    """Validate settings, or list every problem with its path.

    Raises:
        ConfigError: If anything in `values` is unknown, missing, of the wrong type or out of range.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(title, [_problem(prefix, detail) for detail in error.errors()]) from None


def _problem(prefix: str, detail: Any) -> Problem:
    where = cut(".".join(str(part) for part in ([prefix] if prefix else []) + list(detail["loc"]) if part != "[key]"))
    if detail["type"] == "missing":
        return Problem(where, "is required and was not given")
    if detail["type"] == "extra_forbidden":
        return Problem(where, f"is not a known setting (given: {brief(detail['input'])}); check its spelling")
    return Problem(where, f"{_sentence(detail['msg'])} (given: {brief(detail['input'])})")


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ").removeprefix("Input ")
