"""The assemble stage: publishers' files in, one shuffled training mixture out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from med42lib.assemble.config import AssembleConfig
from med42lib.core.edges import Source, Target
from med42lib.core.log import log
from med42lib.core.rejects import REJECTS_FILE

if TYPE_CHECKING:
    from med42lib.assemble.mixture import Share

MIXTURE_FILE = "mixture.json"


def assemble(config: AssembleConfig, *, data: Source, dataset: Target) -> None:
    """Read every source, sample it to its target, and write the mixture in one deterministic, shuffled order.

    Writes `examples.parquet`, `rejects.jsonl` (every record that was set aside, with file, line and reason) and
    `mixture.json` (one row of counts, files and licence per source). Neither the order of sources in the settings nor
    that of files or records changes the examples.

    Raises:
        DataError: If a source is missing, unreadable or too broken.
    """
    from med42lib.assemble.mixture import take_share
    from med42lib.assemble.source import load_source
    from med42lib.core.dataset import write_examples
    from med42lib.core.sampling import sampling_key

    with dataset.path(REJECTS_FILE).open("w", encoding="utf-8") as rejects:
        shares = [take_share(load_source(name), config, data, rejects.write) for name in sorted(config.sources)]
    examples = [example for share in shares for example in share.chosen]
    examples.sort(key=lambda example: sampling_key(config.seed, example.id))
    dataset.rows = write_examples(dataset.folder, examples)
    rows = [share.row for share in shares]
    dataset.path(MIXTURE_FILE).write_text(json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")
    _summarise(shares, dataset)


def _summarise(shares: list[Share], dataset: Target) -> None:
    lines = log("assemble")
    for share in shares:
        row = share.row
        dataset.metric(f"examples/{row['source']}", row["sampled"])
        lines.info(_sentence(row))
        if row["short_by"]:
            lines.warning("%s: %s examples short of its target", row["source"], f"{row['short_by']:,}")
    lines.info("%s examples from %d sources", f"{dataset.rows:,}", len(shares))


def _sentence(row: dict[str, Any]) -> str:
    aside = [f"{row[kind]:,} {kind}" for kind in ("rejected", "excluded", "duplicates") if row[kind]]
    return (
        f"{row['source']}: {row['sampled']:,} of {row['kept']:,} usable examples (target {row['target']}); "
        f"{row['read']:,} records read{''.join(', ' + part for part in aside)}"
    )
