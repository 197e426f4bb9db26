"""The assemble stage: publishers' files in, one shuffled training mixture out."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from med42lib.assemble.config import AssembleConfig
from med42lib.core.errors import DataError
from med42lib.core.json_file import write_json
from med42lib.core.log import log
from med42lib.core.printable import counted
from med42lib.engine.context import StageContext
from med42lib.formats.mixture_table import MIXTURE_FILE
from med42lib.formats.rejects import REJECTS_FILE
from med42lib.store.artifacts import Source, Target

if TYPE_CHECKING:
    from med42lib.assemble.mixing.select import Counts
    from med42lib.store.cache import StageCache


def assemble(config: AssembleConfig, *, data: Source, dataset: Target, context: StageContext) -> None:
    """Read every source, sample it to its target, and write the mixture in one deterministic, shuffled order.

    Writes `examples.parquet`, `rejects.jsonl` (every record that was set aside, with file, line and reason) and
    `mixture.json` (one row of counts, files and licence per source); the same for people as `mixture.md`, beside the
    paper's Table A1, and `mixture.csv`; `README.md`, a data card, and `croissant.json`, both of which programs read;
    and `near_duplicates.json` on demand. Neither the order of sources in the settings nor that of files or records
    changes the examples. Texts are never held all at once (0.6 GiB of memory for the paper's mixture); a source
    that was read before, with the same settings, is not read again.

    Raises:
        DataError: If a source is missing, unreadable or too broken, or no example is left.
    """
    with tempfile.TemporaryDirectory(prefix=".reading-", dir=dataset.folder.parent) as scratch:
        _assemble(config, data, dataset, context.cache, Path(scratch))


def _assemble(config: AssembleConfig, data: Source, dataset: Target, cache: StageCache, scratch: Path) -> None:
    from med42lib.assemble.documents.mixture import mixture_rows
    from med42lib.assemble.documents.write import write_documents
    from med42lib.assemble.mixing.merge import mixed
    from med42lib.assemble.mixing.select import select
    from med42lib.assemble.mixing.spill import read_keys
    from med42lib.assemble.reading.pool import prepare_all, use_system_memory
    from med42lib.assemble.reading.read_source import readings
    from med42lib.core.progress import track
    from med42lib.formats.dataset import write_tables

    use_system_memory()
    wanted = readings(config, data, scratch / "hub")
    folders = prepare_all(wanted, cache)
    chosen, counts = select(config, sorted(config.sources), [read_keys(folder) for folder in folders])
    _check_not_empty(config, counts)
    blocks = track(mixed(folders, chosen), "writing the mixture", unit="blocks")
    dataset.rows = write_tables(dataset.folder, blocks)
    _concatenate([folder / REJECTS_FILE for folder in folders], dataset.path(REJECTS_FILE, note=True))
    rows = mixture_rows(wanted, folders, counts)
    write_json(dataset.path(MIXTURE_FILE), rows)
    write_documents(config, dataset, rows)
    _summarise(rows, dataset)


def _check_not_empty(config: AssembleConfig, counts: Sequence[Counts]) -> None:
    """Refuse a mixture without a row, and say where the rows went."""
    if not any(count.sampled for count in counts):
        short, long, kept = (sum(getattr(c, name) for c in counts) for name in ("too_short", "too_long", "kept"))
        raise DataError(
            f"no example is left for the mixture: {short:,} have less than min_characters = {config.min_characters:,}, "
            f"{long:,} more than max_characters = {config.max_characters}, and the targets take none of the {kept:,} "
            "others; widen the limits, or raise the targets (a share may round to 0 rows)"
        )


def _concatenate(files: Sequence[Path], into: Path) -> None:
    with into.open("wb") as target:
        for file in files:
            with file.open("rb") as source:
                shutil.copyfileobj(source, target)


def _summarise(rows: Sequence[dict[str, Any]], dataset: Target) -> None:
    lines = log("assemble")
    for row in rows:
        dataset.metric(f"examples/{row['source']}", row["sampled"])
        lines.info(_sentence(row))
        for note in row["notes"]:
            lines.warning("%s: %s", row["source"], note)
        if row["unread_fields"]:
            lines.info("%s: fields with text that is not used: %s", row["source"], ", ".join(row["unread_fields"]))
        if row["short_by"]:
            lines.warning("%s: %s examples short of its target", row["source"], f"{row['short_by']:,}")
    lines.info("%s examples from %s", f"{dataset.rows:,}", counted(len(rows), "source"))


def _sentence(row: dict[str, Any]) -> str:
    kinds = ("rejected", "excluded", "too_short", "too_long", "duplicates", "duplicates_across_sources", "repeated")
    aside = [f"{row[kind]:,} {kind.replace('_', ' ')}" for kind in kinds if row[kind]]
    return (
        f"{row['source']}: {row['sampled']:,} of {row['kept']:,} usable examples (target {row['target']}); "
        f"{row['read']:,} records read{''.join(', ' + part for part in aside)}"
    )
