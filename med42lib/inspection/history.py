"""A training row's whole history: the record it was made of, and what each stage made or found of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from med42lib.core.errors import DataError
from med42lib.core.hashing import content_hash
from med42lib.formats.contamination import (
    NEAREST_FILE,
    OVERLAPS_FILE,
    PAIRS_FILE,
    NearestExample,
    Pair,
    read_nearest,
    read_pairs,
)
from med42lib.formats.dataset import EXAMPLES_FILE
from med42lib.formats.mixture_table import read_mixture
from med42lib.formats.records import Example
from med42lib.inspection.find import Dataset, ExampleFinder, FoundRow
from med42lib.inspection.packed import Packed, packed_row
from med42lib.inspection.raw import RawRecord, raw_of
from med42lib.store.artifacts import Source
from med42lib.store.lineage import Output
from med42lib.store.publish import sibling_output


@dataclass(frozen=True, slots=True)
class Assembled:
    """A row as it stands in a data set. `rows` are its places there, from 1; several if it is repeated.

    `stage` is assemble, or decontaminate where assemble's output is gone. `share` is the source's row of `mixture.json`
    (title, attribution, citation, counts) without its files, empty if that is missing; `file_sha256` is of the
    publisher's file when it was assembled, empty if not recorded.
    """

    address: str
    stage: str
    rows: list[int]
    num_rows: int
    example: Example
    share: Mapping[str, Any]
    file_sha256: str


def assembled_row(found: FoundRow) -> Assembled:
    """Read a row and what is recorded of its source.

    Raises:
        DataError: If the data set is broken.
    """
    output, finder = found.dataset.output, found.dataset.finder
    example = finder.example(found.rows[0])
    shares = read_mixture(output.source)
    share: dict[str, Any] = next((share for share in shares if share.get("source") == example.source), {})
    hashes = {file["path"]: file["sha256"] for file in share.pop("files", [])}
    sha256 = hashes.get(example.origin.file, "")
    return Assembled(output.source.address, output.manifest.stage, found.rows, len(finder), example, share, sha256)


@dataclass(frozen=True, slots=True)
class Compared:
    """A row's pairs with evaluation items, of any detector, and the items to which no row is more alike.

    Both from the most similar down.

    `threshold`, `text` and `action` are the stage's settings; `kept` says whether the row went on to training.
    """

    address: str
    threshold: float
    text: str
    action: str
    num_items: int | None
    pairs: list[Pair]
    nearest: list[NearestExample]
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
    address = sibling_output(training.source.address, "contamination")
    findings = Source(address, cache=cache / content_hash(address))
    if findings.manifest is None:
        raise DataError(f"{address} is no longer there")
    finder = ExampleFinder(training.source.path(EXAMPLES_FILE).parent)
    found = (pair for name in (PAIRS_FILE, OVERLAPS_FILE) for pair in read_pairs(findings.path(name)))
    pairs = [pair for pair in found if pair.example_id == id]
    nearest = [item for item in read_nearest(findings.path(NEAREST_FILE)) if item.example_id == id]
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


@dataclass(frozen=True, slots=True)
class History:
    """Everything known of one row.

    `run` is the packed output, or the last one there is. `decontaminate` and `pack` are None where the run has no such
    stage, or its output is gone, which `notes` then says.
    """

    id: str
    run: str
    created_at: str
    notes: list[str]
    raw: RawRecord
    assemble: Assembled
    decontaminate: Compared | None
    pack: Packed | None


def history(found: FoundRow, cache: Path) -> History:
    """Gather a row's history from the outputs of its run; `cache` is where remote files are fetched to.

    Raises:
        DataError: If an output is broken.
    """
    dataset = found.dataset
    notes = list(dataset.lineage.missing)
    assembled = assembled_row(found)
    compared = _compared(found.id, dataset, notes, cache)
    pack = dataset.output_of("pack", "packed")
    packed = packed_row(found.id, pack, dataset.lineage, cache) if pack else None
    raw = raw_of(assembled.example, dataset.output.manifest, sha256=assembled.file_sha256, cache=cache)
    run = pack or dataset.root
    return History(found.id, run.source.address, run.manifest.created_at, notes, raw, assembled, compared, packed)


def _compared(id: str, dataset: Dataset, notes: list[str], cache: Path) -> Compared | None:
    training = dataset.output_of("decontaminate", "training")
    if training is None:
        return None
    try:
        return compared_row(id, training, cache)
    except DataError as error:
        notes.append(f"what decontaminate found cannot be read any more: {error}")
        return None
