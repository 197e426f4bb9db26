"""In which form a data set is read, and whether from the hub: settings that sources and benchmarks share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic.config import JsonDict

from med42lib.core.config import StageConfig
from med42lib.core.errors import StoreError
from med42lib.core.names import NamedModules
from med42lib.readers.data_set import DataSet, LayoutName
from med42lib.store.address import dataset_address, open_store

_OF_SOME: JsonDict = {"of_some": True}

OF_SOME: Any = Field(json_schema_extra=_OF_SOME)
"""Marks a setting that only those data sets have that declare it, `DataSet.settings`; elsewhere it is refused."""


def _inside_the_data_folder(path: str) -> str:
    if path.startswith("/") or "://" in path or ".." in path.split("/"):
        raise ValueError(
            "must lie inside the data folder, and is written from there, such as medqa/test.jsonl; the folder itself "
            "is named in `inputs`"
        )
    return path


PathInData = Annotated[str, Field(min_length=1), AfterValidator(_inside_the_data_folder)]
"""A file, folder or pattern of a data folder, relative to it."""


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


def check_settings(chosen: Mapping[str, DataLayoutConfig], known: NamedModules) -> None:
    """Make sure that every data set chosen has the settings that are made for it.

    Raises:
        ValueError: If one has not; the message lists all such settings.
    """
    problems = [problem for name in sorted(chosen) for problem in _misplaced(name, chosen[name], known)]
    if problems:
        raise ValueError("; ".join(problems))


def _misplaced(name: str, config: DataLayoutConfig, known: NamedModules) -> Iterator[str]:
    """Name the settings that would do nothing to this data set, or keep it from being read."""
    data_set: DataSet = known.load(name)
    for setting, field in type(config).model_fields.items():
        is_lacking = field.json_schema_extra == _OF_SOME and setting not in data_set.settings
        if is_lacking and getattr(config, setting) != field.default:
            having = [other for other in known.names() if setting in known.load(other).settings]
            yield f"{setting} is for {', '.join(having)} only, not for {name}"
    if config.layout not in data_set.layouts:
        yield f"{name} has the layout {', '.join(data_set.layouts)} only: leave layout out"
    if config.hub is not None and not data_set.facts.whole_on_hub:
        yield f"the hub lacks a file that {name} needs: download it into the data folder instead"
