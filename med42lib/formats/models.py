"""A run's models: the fine-tunes have names of their own in the spec, what they start from is `base`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints

BASE = "base"
Precision = Literal["float32", "bfloat16", "float16"]
"""Number format of weights, as torch calls it."""

ModelName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
"""Name of a trained model: up to 31 lower-case letters, digits and `_`."""
