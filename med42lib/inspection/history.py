"""A training row's whole history: the record it was made of, and what each stage made of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from med42lib.core.errors import DataError
from med42lib.inspection.assembled import Assembled, assembled_row, raw_of
from med42lib.inspection.compared import Compared, compared_row
from med42lib.inspection.packed import Packed, packed_row
from med42lib.inspection.raw import RawRecord
from med42lib.inspection.runs import Dataset, FoundRow


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
    raw = raw_of(assembled, dataset.output.manifest, cache)
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
