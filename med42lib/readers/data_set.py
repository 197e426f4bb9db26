"""What a training source and a benchmark both say of themselves.

Whoever checks a spec reads it, on a machine that could not read the data: a module that declares a data set imports, at
module level, no more than every runtime has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LayoutName = Literal["publisher", "huggingface"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherFacts:
    """What holds for all that is read of one publisher, be it trained on or asked.

    `attribution` says whom to credit; `whole_on_hub` whether the hub has every file that the readers need.
    """

    licence: str
    attribution: str
    citation: str
    whole_on_hub: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """What is read of a publisher for one purpose.

    `settings` are those it has of the settings marked `OF_SOME`, `layouts` the forms in which it can be read.
    """

    name: str
    title: str
    facts: PublisherFacts
    settings: tuple[str, ...] = ()
    layouts: tuple[LayoutName, ...] = ("publisher", "huggingface")
