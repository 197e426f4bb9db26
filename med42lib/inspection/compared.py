"""What decontaminate found of a row: the evaluation items that ask too much the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from med42lib.core.errors import DataError
from med42lib.core.hashing import content_hash
from med42lib.formats.contamination import NEAREST_FILE, PAIRS_FILE, Pair, read_nearest, read_pairs
from med42lib.formats.dataset import EXAMPLES_FILE
from med42lib.inspection.find import ExampleFinder
from med42lib.store.address import join_address
from med42lib.store.artifacts import Source
from med42lib.store.lineage import Output


@dataclass(frozen=True, slots=True)
class NearestItem:
    """An evaluation item to which no training row is more alike than this one."""

    item_id: str
    benchmark: str
    cosine: float


@dataclass(frozen=True, slots=True)
class Compared:
    """A row's pairs with evaluation items, and the items it is nearest to, most similar first.

    `threshold`, `text` and `action` are the stage's settings; `kept` says whether the row went on to training.
    """

    address: str
    threshold: float
    text: str
    action: str
    num_items: int | None
    pairs: list[Pair]
    nearest: list[NearestItem]
    kept: bool


def compared_row(id: str, training: Output, cache: Path) -> Compared:
    """Read what was found of a row.

    Args:
        id: The row's id.
        training: Decontaminate's output of that name; its findings lie beside it.
        cache: Where remote files are fetched to.

    Raises:
        DataError: If the findings are not there, or broken.
    """
    address = join_address(training.source.address.rpartition("/")[0], "contamination")
    findings = Source(address, cache=cache / content_hash(address))
    if findings.manifest is None:
        raise DataError(f"{address} is no longer there")
    finder = ExampleFinder(training.source.path(EXAMPLES_FILE).parent)
    pairs = [pair for pair in read_pairs(findings.path(PAIRS_FILE)) if pair.example_id == id]
    found = [item for item in read_nearest(findings.path(NEAREST_FILE)) if item.example_id == id]
    nearest = [NearestItem(item.item_id, item.benchmark, item.cosine) for item in found]
    return Compared(
        address,
        training.manifest.setting("threshold"),
        training.manifest.setting("text"),
        training.manifest.setting("action"),
        findings.manifest.rows,
        sorted(pairs, key=lambda pair: -pair.cosine),
        sorted(nearest, key=lambda item: -item.cosine),
        kept=bool(finder.rows(id)),
    )
