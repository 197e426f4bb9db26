"""In which form a data set is read, and whether from the hub: settings that sources and benchmarks share."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator

from med42lib.core.config import StageConfig
from med42lib.core.errors import StoreError
from med42lib.store.address import dataset_address, open_store

LayoutName = Literal["publisher", "huggingface"]

NOT_WHOLE_ON_THE_HUB = ("pubmedqa",)
"""Data sets of which the hub lacks a file that their readers need."""


def _openable(hub: str) -> str:
    """Take the name of a data set on the hub, if the store of that address would."""
    try:
        open_store(dataset_address(hub))
    except StoreError:
        raise ValueError(
            "must be owner/name@revision of a data set on the hub, where the revision is the full commit of 40 "
            "hexadecimal digits"
        ) from None
    return hub


class DataLayoutConfig(StageConfig):
    """In which form a data set is read, and whether from the hub."""

    layout: LayoutName = "publisher"
    """Which form of the data set to read: the publisher's own release, or the rows that the Hugging Face hub has, as
    Parquet or JSON files. The two differ in ways that matter: MedMCQA's answers count from 1 in one, from 0 in the
    other."""

    hub: Annotated[str, AfterValidator(_openable)] | None = None
    """Read the data set from the hub and not from the data folder: `owner/name@revision`, where the revision is the
    full commit of 40 hexadecimal digits; `path` is then inside that repository. Needs `layout: huggingface`. Not for
    PubMedQA, whose official test is a list that the hub does not have."""

    @model_validator(mode="after")
    def _hub_has_its_own_layout(self) -> Self:
        if self.hub is not None and self.layout != "huggingface":
            raise ValueError("hub needs layout: huggingface, since the hub's files differ from the publisher's")
        return self
