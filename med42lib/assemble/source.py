"""What a training source is: who made it, where it lies, and how its records become conversations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from med42lib.assemble.config import SOURCES
from med42lib.formats.prompt import MultipleChoice
from med42lib.formats.records import Exchange
from med42lib.formats.rejects import Reject
from med42lib.readers.data_set import DataSet, LayoutName
from med42lib.readers.files import DataFile, DataFolder
from med42lib.readers.hf_layout import file_rows
from med42lib.readers.parsers import Record

if TYPE_CHECKING:
    import pyarrow as pa

Domain = Literal["medical", "general"]


@dataclass(frozen=True, slots=True)
class Conversation:
    """One record as a conversation, before the source's own facts are added.

    `question` is the first exchange's, bare, without instructions, context or options. `system` and `licence` are for
    sources whose records bring their own; None means the usual one, empty the source's. `group` names what belongs
    together in a split, such as a patient; empty where the data know no groups.
    """

    publisher_id: str
    exchanges: tuple[Exchange, ...]
    question: str
    system: str | None = None
    licence: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the settings say about how records are chosen and written.

    `multiple_choice` says whether options are shown and answered by letter, or answered by their text alone;
    `explanations` whether the publisher's explanation follows the answer. `include` names the parts to read, of
    sources that have parts (sites, subjects, tasks); empty means those of the paper. `benchmark_tasks` lets in parts
    that are known to hold evaluation items. `first_rows` is how many to read of a source of the user's own; None: all.
    """

    multiple_choice: MultipleChoice
    explanations: bool = True
    include: tuple[str, ...] = ()
    benchmark_tasks: bool = False
    first_rows: int | None = None


Conversations = Iterator["Record[Conversation] | pa.RecordBatch | Reject"]
"""What a reader gives: conversations, one by one or in batches of `conversations.columns.CONVERSATIONS` and rejects."""

Reader = Callable[[DataFolder, str, ReadOptions], Conversations]

FileReader = Callable[[DataFile], Iterator[Record[Any] | Reject]]


@dataclass(frozen=True, slots=True)
class SourceLayout:
    """One form in which a source is handed out.

    `path` is where it usually lies below the data folder: a file, a folder, or a pattern such as `x/**/*.parquet`.
    `read(folder, path, read_options)` gives every record, as a conversation or as a reject. `records(file)` gives those
    of one file as they stand in it, each with the line that `read` gives to what it makes of it. `repository` is the
    data set's name on the hub, and `hub_path` what of it is read.
    """

    path: str
    read: Reader
    repository: str = ""
    hub_path: str = ""
    records: FileReader = file_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSource(DataSet):
    """A training source. Each module in `sources` declares one as `SOURCE`.

    `num_paper` is the row count of the paper's Table A1; `num_paper_origin` says how the paper seems to have come to
    it, or "unexplained". `tokens_per_row` is what `plan` reckons with where the files are not: an estimate of a row's
    mean length in the prompt format, in Llama-2's tokens. `left_out` says which records are not used, and why.
    """

    domain: Domain
    publisher: SourceLayout
    huggingface: SourceLayout
    num_paper: int
    num_paper_origin: str
    tokens_per_row: int
    left_out: str = ""

    def layout(self, name: LayoutName) -> SourceLayout:
        """Give the layout of that name."""
        return self.publisher if name == "publisher" else self.huggingface


def load_source(name: str) -> TrainingSource:
    """Import the source of a known name."""
    source: TrainingSource = SOURCES.load(name)
    return source
