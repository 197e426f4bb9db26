"""What assemble made of a row, and the publisher's record that it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from med42lib.core.hashing import content_hash
from med42lib.formats.mixture_table import read_mixture
from med42lib.formats.records import Example
from med42lib.inspection.documents import words_of
from med42lib.inspection.raw import RawRecord, find_raw, no_raw
from med42lib.inspection.runs import FoundRow
from med42lib.store.address import dataset_address
from med42lib.store.manifest import Manifest


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


def raw_of(row: Assembled, manifest: Manifest, cache: Path) -> RawRecord:
    """Read the publisher's record, if the folder that assemble read is still there.

    Args:
        row: What was made of it.
        manifest: Of the data set.
        cache: Where a remote file is fetched to.
    """
    origin = row.example.origin
    address = _address_of_data(row.example.source, manifest)
    if address is None:
        note = "the output of assemble, which names its data folder, is no longer there"
        return no_raw(origin, row.file_sha256, note=note)
    spoken = [text for exchange in row.example.exchanges for text in (exchange.prompter, exchange.assistant)]
    words = words_of(row.example.question, *spoken)
    return find_raw(address, origin, sha256=row.file_sha256, words=words, cache=cache / content_hash(address))


def _address_of_data(source: str, manifest: Manifest) -> str | None:
    """Name the folder a source was read from: a repository of the hub, if its settings say so, or assemble's input."""
    hub = manifest.config.get("sources", {}).get(source, {}).get("hub")
    if hub:
        return dataset_address(hub)
    return manifest.inputs["data"].address if "data" in manifest.inputs else None
