"""Settings of `register`."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from med42lib.core.config import StageConfig, written_as
from med42lib.core.printable import printable

_RESERVED = ("mlflow.", "med42.")


def _printable_text(text: str) -> str:
    if printable(text) != text:
        raise ValueError("holds characters that are not seen; remove them")
    return text


def _allowed_tag(name: str) -> str:
    """Refuse a tag that would move the run under another one, or hide it from the next search."""
    if name.startswith(_RESERVED):
        raise ValueError(f"begins with {' or '.join(_RESERVED)}, which name what MLflow and the suite say of a run")
    return name


SEEN = AfterValidator(_printable_text)
# What MLflow takes for both a run's and a model version's tags (mlflow/utils/validation.py).
TagName = Annotated[
    str,
    Field(max_length=250),
    written_as(r"\w[\w.: -]*(/\w[\w.: -]*)*", "letters, digits, spaces and . : - _, in parts with / between them"),
    AfterValidator(_allowed_tag),
]
TagValue = Annotated[str, Field(max_length=8_000), SEEN]


class Gate(StageConfig):
    """What a model must show to become the candidate; null asks for nothing."""

    min_gain_points: float | None = Field(default=None, ge=-100, le=100)
    """Its accuracy on all clean questions minus the base model's, in percentage points, at least. The number counts, be
    it chance or not: of few questions a gain of a point is next to nothing (`gain_shown`)."""

    gain_shown: bool = False
    """`true`: the report must answer that it is better than the base, by its test. Of few questions no small gain
    passes, however real. The report has to compare the two (`report.compare`)."""

    max_leaked_share: float | None = Field(default=None, ge=0, le=1)
    """Of the scored questions, how many at most may have leaked, by the cosine of `decontaminate.threshold`."""

    allowed_licences: Annotated[list[str], Field(min_length=1)] | None = None
    """The licences that the base and every source may have, written as the model card's tables write them; case does
    not matter. One that is not stated is not allowed: a source's `licence` and `fetch_model.licence` state it."""

    def allows(self, licence: str) -> bool:
        """Say whether the base or a source may have this licence."""
        named = self.allowed_licences
        return named is None or licence.casefold() in (name.casefold() for name in named)


class RegisterConfig(StageConfig):
    """Where in MLflow the run is recorded.

    The tracking address is no setting but a fact of the place: `MLFLOW_TRACKING_URI`.
    """

    enabled: bool = True
    """`false` records and registers nothing, and asks for no MLflow: the models stay in the store."""

    experiment: Annotated[
        str,
        Field(min_length=1, max_length=500),
        written_as(r"\S(.*\S)?", "one line without spaces at its ends"),
        SEEN,
    ]
    """Name of the MLflow experiment that the run is listed under; made if it does not exist."""

    model_name: Annotated[
        str,
        Field(max_length=200),
        written_as(r"[A-Za-z0-9][A-Za-z0-9_. -]*", "letters, digits, spaces and _ . -, a letter or digit first"),
    ]
    """Name of the registered model that gets a new version; made if it does not exist."""

    description: Annotated[str, Field(max_length=5000), SEEN] = ""
    """Note shown with the run, and in the model card."""

    licence: Annotated[str, Field(max_length=200), SEEN] = ""
    """Licence of the registered model, for its card: as the Hugging Face hub calls it (`apache-2.0`), or in words."""

    tags: dict[TagName, TagValue] = Field(default_factory=dict)
    """Tags of your own for the run and the model version; their names begin neither with `mlflow.` nor `med42.`."""

    gate: Gate = Field(default_factory=Gate)
    """A model that does not pass is registered, with the reason in its tag `med42.gate`, and is not the candidate; if
    its weights are it from before, there is none. Whatever is asked for, a candidate that is worse than its base is
    told."""
