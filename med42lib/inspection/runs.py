"""Which run a row is looked up in: the newest packed output that was made from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from med42lib.core.errors import ConfigError, DataError, Problem
from med42lib.core.hashing import content_hash
from med42lib.formats.dataset import EXAMPLES_FILE
from med42lib.inspection.find import ExampleFinder
from med42lib.store.address import open_store
from med42lib.store.artifacts import Source
from med42lib.store.lineage import Lineage, Output, trace
from med42lib.store.publish import sealed_outputs

# The last output that is there is the best to start from: the others are upstream of it.
STAGE_OUTPUTS = (("pack", "packed"), ("decontaminate", "training"), ("assemble", "dataset"))
NUM_SHOWN_IDS = 5


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set of examples, and the run it belongs to: `root` is the output that the walk started from."""

    root: Output
    lineage: Lineage
    output: Output
    finder: ExampleFinder

    def output_of(self, stage: str, target: str) -> Output | None:
        """Give one of the outputs that a stage of this run wrote; None if it is not there."""
        wanted = (stage, target)
        return next((o for o in self.lineage.outputs if (o.manifest.stage, o.manifest.target) == wanted), None)


@dataclass(frozen=True, slots=True)
class FoundRow:
    """An example's full id, and its rows in the data set as assemble left it."""

    id: str
    rows: list[int]
    dataset: Dataset


def open_outputs(addresses: Sequence[str], cache: Path) -> list[Source]:
    """Open outputs at given addresses: of pack, of a stage before it, or of one that was made from a packed output."""
    return [Source(address, cache=cache / content_hash(address)) for address in addresses]


def newest_outputs(store_address: str, cache: Path) -> list[Source]:
    """Open all finished outputs of a store that a row can be looked up in: packed ones first, newest first.

    Raises:
        DataError: If there are none.
    """
    found: list[Source] = []
    for stage, target in STAGE_OUTPUTS:
        sources = open_outputs(sealed_outputs(open_store(store_address), stage, target), cache)
        found += sorted(sources, key=_created_at, reverse=True)
    if not found:
        raise DataError(
            f"{store_address} holds no finished output of pack, decontaminate or assemble; give another --store, or "
            "run `med42 run` first"
        )
    return found


def data_sets(roots: Sequence[Source], cache: Path) -> Iterator[Dataset]:
    """Go through the data sets that each root was made from, the first stage's first; each once.

    Raises:
        DataError: If a root is not the output of a stage.
    """
    seen = set()
    for root in roots:
        lineage = trace(root, cache=cache)
        for output in lineage.outputs:
            if output.source.has(EXAMPLES_FILE) and output.source.address not in seen:
                seen.add(output.source.address)
                folder = output.source.path(EXAMPLES_FILE).parent
                yield Dataset(lineage.at(root.address), lineage, output, ExampleFinder(folder))


def find_row(roots: Sequence[Source], wanted: str, cache: Path) -> FoundRow:
    """Look a row up by its id, or by the beginning or end of it, in one root after another.

    Raises:
        ConfigError: If there is none, or several fit; with the ids that may be meant.
        DataError: If a root is not the output of a stage, or nothing it was made from is there any more.
    """
    searched = []
    for dataset in data_sets(roots, cache):
        found = dataset.finder.rows(wanted)
        if len(found) > 1:
            raise _problem(f"{len(found):,} ids begin or end with {wanted!r}; give more of it", list(found))
        for id, rows in found.items():
            return FoundRow(id, rows, dataset)
        searched.append(dataset)
    if not searched:
        raise _nothing_left(roots)
    similar = [id for dataset in searched for id in dataset.finder.similar(wanted, NUM_SHOWN_IDS)]
    raise _problem(f"no training row has the id {wanted!r}; the most similar", list(dict.fromkeys(similar)))


def first_data_set(roots: Sequence[Source], cache: Path) -> Dataset:
    """Give the newest run's data set as assemble left it.

    Raises:
        DataError: If a root is not the output of a stage, or nothing it was made from is there any more.
    """
    for dataset in data_sets(roots, cache):
        return dataset
    raise _nothing_left(roots)


def _nothing_left(roots: Sequence[Source]) -> DataError:
    return DataError(f"{roots[0].address}: the data sets it was made from are no longer there")


def _problem(what: str, ids: list[str]) -> ConfigError:
    more = ", …" if len(ids) > NUM_SHOWN_IDS else ""
    return ConfigError("med42 inspect dataset", [Problem("--id", f"{what}: {', '.join(ids[:NUM_SHOWN_IDS])}{more}")])


def _created_at(source: Source) -> str:
    return source.manifest.created_at if source.manifest else ""
