"""In which form a data set is read, and whether from the hub: settings that sources and benchmarks share.

A data set of a known name has its publisher's format. One of the user's own has any other name and says its `format`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic.config import JsonDict

from med42lib.core.config import StageConfig
from med42lib.core.errors import StoreError
from med42lib.core.names import NamedModules
from med42lib.readers.data_set import DataSet, LayoutName
from med42lib.readers.own.answers import Answers
from med42lib.readers.own.fields import USUAL_NAMES, Format
from med42lib.store.address import dataset_address, open_store

_OF_SOME: JsonDict = {"of_some": True}

OF_SOME: Any = Field(json_schema_extra=_OF_SOME)
"""Marks a setting that only those data sets have that declare it, `DataSet.settings`; elsewhere it is refused."""


OF_FORMAT: Mapping[str, tuple[str, ...]] = {"multiple_choice": ("multiple_choice", "explanations", "topics", "group")}
"""Which of those settings data of the user's own have, by their format."""


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


_OWN_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
_FORMATS = ", ".join(get_args(Format))


class _OwnName(str):
    """A name whose settings say their format."""

    __slots__ = ()


def _with_own_names(chosen: object) -> object:
    """Mark the names of data sets that say their format, since the check of a name sees the name alone."""
    if not isinstance(chosen, Mapping):
        return chosen
    return {
        _OwnName(name) if isinstance(name, str) and _format_of(settings) is not None else name: settings
        for name, settings in chosen.items()
    }


def _format_of(settings: object) -> object:
    return settings.get("format") if isinstance(settings, Mapping) else getattr(settings, "format", None)


OWN_NAMES: Any = BeforeValidator(_with_own_names)
"""Marks a mapping from names of data sets to their settings, in which a user's own have names of theirs."""


def name_of(known: NamedModules, formats: Sequence[str] = get_args(Format)) -> Any:
    """Give the check of a name in such a mapping: one that is known, or any other of a data set with a format.

    Args:
        known: The known names.
        formats: Which formats other data sets may have, for messages.
    """

    def check(name: object) -> object:
        if not isinstance(name, str):
            return name
        if not isinstance(name, _OwnName):
            return _known(name, known, formats)
        if name in known.names():
            raise ValueError(
                f"is a {known.kind} with a format of its own: leave format out, or give yours another name"
            )
        if not _OWN_NAME.fullmatch(name):
            raise ValueError("must be small letters, digits and _, and begin with a letter")
        return str(name)

    return BeforeValidator(check)


def _known(name: str, known: NamedModules, formats: Sequence[str]) -> str:
    try:
        return known.known(name)
    except ValueError as error:
        raise ValueError(f"{error}. For data of your own say their format: {', '.join(formats)}") from None


class DataLayoutConfig(StageConfig):
    """In which form a data set is read, and whether from the hub."""

    format: Format | Literal["lm_eval"] | None = None
    """For data of your own, under a name of your own: the shape of their rows."""

    fields: dict[str, str | tuple[str, ...]] = Field(default_factory=dict)
    """Of data of your own: which field holds which part, where they have other names than TRL, axolotl and
    LLaMA-Factory use: `{question: stem, options: [first, second]}`."""

    ignore: tuple[str, ...] = ()
    """Of data of your own: fields that are not looked at, such as a `rationale` that is not to be taught, or the one of
    two that is not meant. Without it a row with text in a field that its question may need is set aside."""

    answers: Answers | None = None
    """Of your own questions with options: how the answer is written, by letter, by number from 0 or from 1, or by the
    option's text. Left out: as the rows show; where they do not, that is an error."""

    licence: str | None = Field(default=None, min_length=1)
    """Licence to record with every row, and to credit. Left out: the publisher's. Required for data of your own."""

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
        if self.hub is not None and self.layout != "huggingface" and self.format is None:
            raise ValueError("hub needs layout: huggingface, since the hub's files differ from the publisher's")
        return self

    @model_validator(mode="after")
    def _own_data_say_what_they_are(self) -> Self:
        problems = list(_problems_of_own(self) if self.format else _without_effect(self))
        if problems:
            raise ValueError("; ".join(problems))
        return self


def _without_effect(config: DataLayoutConfig) -> Iterator[str]:
    for name in ("fields", "ignore", "answers", "group", "domain"):
        field = type(config).model_fields.get(name)
        if field and getattr(config, name) != field.get_default(call_default_factory=True):
            yield f"{name} is for data of your own: say their format, {_FORMATS}"


def _problems_of_own(config: DataLayoutConfig) -> Iterator[str]:
    assert config.format is not None, "checked by the caller"
    if config.licence is None:
        yield "licence is required for data of your own: whose they are, and what may be done with them"
    if config.format == "lm_eval":
        for name in ("fields", "ignore", "answers", "hub"):
            if getattr(config, name):
                yield f"{name} is not for format lm_eval: its YAML names its files, and says what is asked of a row"
        return
    parts = USUAL_NAMES[config.format]
    named = {name for names in config.fields.values() for name in ([names] if isinstance(names, str) else names)}
    if both := [name for name in config.ignore if name in named or name == getattr(config, "group", None)]:
        yield f"ignore names {', '.join(both)}, which fields or group name too: leave it out of one"
    if config.layout != "publisher":
        yield "layout is not for data of your own: leave it out"
    if getattr(config, "path", None) is None and config.hub is None:
        yield "path is required for data of your own: a file, a folder or a pattern in the data folder"
    if config.answers and config.format != "multiple_choice":
        yield "answers is for format multiple_choice only"
    for part, names in config.fields.items():
        if part not in parts:
            yield f"fields has no part {part!r}; a row of {config.format} has {', '.join(parts)}"
        elif not isinstance(names, str) and (part != "options" or len(names) < 2):
            yield f"fields.{part} must be the name of a field; options alone may be a list of two columns or more"


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
    if config.format is not None:
        yield from _misplaced_in_own(name, config)
        return
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


def _misplaced_in_own(name: str, config: DataLayoutConfig) -> Iterator[str]:
    for setting, field in type(config).model_fields.items():
        is_lacking = field.json_schema_extra == _OF_SOME and setting not in OF_FORMAT.get(config.format or "", ())
        if is_lacking and getattr(config, setting) != field.default:
            yield f"{setting} is not for {name}, whose format is {config.format}"
