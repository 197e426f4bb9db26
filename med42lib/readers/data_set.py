"""What a training source and a benchmark both say of themselves.

Whoever checks a spec reads it, on a machine that could not read the data: a module that declares a data set imports, at
module level, no more than every runtime has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LayoutName = Literal["publisher", "huggingface"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """A data set of some publisher.

    `settings` are those it has of the settings marked `OF_SOME`, `layouts` the forms in which it can be read, and
    `whole_on_hub` says whether the hub has every file that it is read from.
    """

    name: str
    title: str
    licence: str
    citation: str
    settings: tuple[str, ...] = ()
    layouts: tuple[LayoutName, ...] = ("publisher", "huggingface")
    whole_on_hub: bool = True
