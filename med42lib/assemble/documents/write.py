"""What tells people and programs about the data set: tables, near-duplicates, data card and Croissant description."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.parquet as pq

from med42lib.assemble.config import AssembleConfig
from med42lib.assemble.documents.croissant import CROISSANT_FILE, croissant
from med42lib.assemble.documents.data_card import CARD_FILE, data_card
from med42lib.assemble.documents.table_a1 import mixture_csv, mixture_markdown
from med42lib.core.json_file import write_json
from med42lib.formats.dataset import EXAMPLES_FILE
from med42lib.formats.mixture_table import MixtureRow
from med42lib.store.artifacts import Target
from med42lib.store.manifest import describe_file

TABLE_FILE = "mixture.md"
CSV_FILE = "mixture.csv"
NEAR_DUPLICATES_FILE = "near_duplicates.json"


def write_documents(config: AssembleConfig, dataset: Target, rows: Sequence[MixtureRow]) -> None:
    """Write `mixture.md`, `mixture.csv`, `README.md` and `croissant.json` beside the examples.

    And `near_duplicates.json`, if the settings ask for it.

    Args:
        config: Of near-duplicates.
        dataset: Where the examples are.
        rows: The rows of `mixture.json`.
    """
    examples = dataset.path(EXAMPLES_FILE)
    file = describe_file(examples, EXAMPLES_FILE)
    documents = {
        TABLE_FILE: mixture_markdown(rows, _near_duplicates(config, dataset)),
        CSV_FILE: mixture_csv(rows),
        CARD_FILE: data_card(rows, file, pq.read_metadata(examples)),
        CROISSANT_FILE: croissant(rows, file),
    }
    for name, text in documents.items():
        dataset.path(name, note=True).write_text(text, encoding="utf-8", newline="\n")


def _near_duplicates(config: AssembleConfig, dataset: Target) -> str:
    """Look for near-duplicates, write what was found, and say it in a few words; nothing if they are not wanted."""
    if config.near_duplicates is None:
        return ""
    from med42lib.assemble.near_duplicates.search import find_near_duplicates

    found = find_near_duplicates(config.near_duplicates, dataset.folder)
    write_json(dataset.path(NEAR_DUPLICATES_FILE, note=True), found)
    return _sentence(found)


def _sentence(found: Mapping[str, Any]) -> str:
    measure = f"similar by {found['threshold']} or more ({found['similarity']})"
    compared = f"{found['rows_compared']:,} of {found['rows']:,} rows were compared"
    if not found["pairs"]:
        return f"{compared}; no two are {measure}."
    return (
        f"{compared}. Pairs that are {measure}: {'' if found['complete'] else 'at least '}{found['pairs']:,}, "
        f"{found['pairs_within_sources']:,} within a source and {found['pairs_across_sources']:,} across sources. Rows "
        f"in such a pair: {found['rows_with_near_duplicates']:,}; in the largest cluster: "
        f"{found['largest_clusters'][0]['rows']:,}. All stay in the mixture; `{NEAR_DUPLICATES_FILE}` says more."
    )
