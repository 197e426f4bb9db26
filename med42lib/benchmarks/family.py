"""What a benchmark is: who made it, and how its files become questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from med42lib.benchmarks.config import FAMILIES, BenchmarkConfig
from med42lib.formats.records import Generation
from med42lib.formats.rejects import Reject
from med42lib.readers.data_set import DataSet
from med42lib.readers.files import DataFolder
from med42lib.readers.parsers import Record
from med42lib.readers.publishers.question import Question

Questions = Iterator[Record[Question] | Reject]


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """A question without options, whose answer the model writes; `text` is what is compared with training data."""

    text: str
    generation: Generation
    subject: str = ""


AnyQuestions = Iterator[Record[Question | OpenQuestion] | Reject]


@dataclass(frozen=True, slots=True)
class Absent:
    """A benchmark that the suite may not ship and the user has not brought.

    `advice` says what to bring, where from and where to put it.
    """

    advice: str


Reader = Callable[[DataFolder, BenchmarkConfig], Mapping[str, AnyQuestions | Absent]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family(DataSet):
    """A benchmark, or several of one publisher. Each module in `families` declares one as `FAMILY`.

    `read(folder, settings)` gives the questions of every benchmark of the family, by the benchmark's name.
    """

    read: Reader


def load_family(name: str) -> Family:
    """Import the benchmark of a known name."""
    family: Family = FAMILIES.load(name)
    return family
