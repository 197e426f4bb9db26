"""The data card: a README in the format of the Hugging Face hub, by which `datasets` opens the folder as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from med42lib.assemble.documents.table_a1 import counts_table, table_a1
from med42lib.core.markdown import Markdown, escape_markdown, markdown_code, markdown_table
from med42lib.formats.dataset import EXAMPLES_FILE, SCHEMA
from med42lib.formats.mixture_table import MixtureRow, mixture_table
from med42lib.store.manifest import FileEntry

CARD_FILE = "README.md"
SPLIT = "train"

_SIZES = {1e3: "n<1K", 1e4: "1K<n<10K", 1e5: "10K<n<100K", 1e6: "100K<n<1M", 1e7: "1M<n<10M", 1e8: "10M<n<100M"}
_COLUMNS = {
    "id": "source and content hash; the same for the same conversation on any machine, in any order",
    "source": "which source the row is of",
    "licence": "the row's licence, as its publisher states it",
    "publisher_id": "the publisher's own id of the record, empty where it has none",
    "file": "the publisher's file that the record was read from",
    "line": "its line there, from 1; its number in files without lines",
    "system": "the system text, may be empty",
    "question": "the bare question, without instructions, context or options",
    "group": "what belongs together in a split, such as a patient; empty where the data know no groups",
    "exchanges": "the conversation: what the prompter says and the assistant answers, in order",
}
_LOADING = f"""```python
from datasets import load_dataset

examples = load_dataset("path/to/this/folder", split="{SPLIT}")
```"""
_TRAINING = """TRL, axolotl and LLaMA-Factory read conversations as a column `messages`. `med42 export` writes a file
that has it, with the roles system, user and assistant; TRL's `SFTTrainer` takes as `train_dataset` what this gives:

```
med42 export path/to/this/folder messages.parquet
```

```python
train_dataset = load_dataset("parquet", data_files="messages.parquet", split="train")
```"""


def data_card(rows: Sequence[MixtureRow], file: FileEntry, metadata: pq.FileMetaData) -> str:
    """Write the card.

    Args:
        rows: The rows of `mixture.json`.
        file: The Parquet file of examples.
        metadata: Its footer.
    """
    front = yaml.safe_dump(_front_matter(rows, file, metadata), sort_keys=False, width=120)
    return f"---\n{front}---\n\n" + "\n\n".join(_text(rows, metadata.num_rows)) + "\n"


def _front_matter(rows: Sequence[MixtureRow], file: FileEntry, metadata: pq.FileMetaData) -> dict[str, Any]:
    """Give what the hub reads. The number of examples is checked whenever `datasets` opens the folder."""
    hubs = sorted({row["hub"].partition("@")[0] for row in rows if row["hub"]})
    num_bytes = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    return {
        "pretty_name": "Med42 Suite training mixture",
        "license": "other",
        "license_name": "several",
        **({} if any(row.get("format") for row in rows) else {"language": ["en"]}),
        "task_categories": ["question-answering", "text-generation"],
        "size_categories": [_size(metadata.num_rows)],
        "tags": ["medical", "instruction-tuning"],
        "configs": [{"config_name": "default", "data_files": [{"split": SPLIT, "path": EXAMPLES_FILE}]}],
        "dataset_info": {
            "features": [{"name": field.name, **_feature(field.type)} for field in SCHEMA],
            "splits": [{"name": SPLIT, "num_bytes": num_bytes, "num_examples": metadata.num_rows}],
            "download_size": file.bytes,
            "dataset_size": num_bytes,
        },
        **({"source_datasets": hubs} if hubs else {}),
    }


def _size(num_rows: int) -> str:
    return next((name for limit, name in _SIZES.items() if num_rows < limit), "100M<n<1B")


def _feature(type_: pa.DataType) -> dict[str, Any]:
    """Write a column's type in the words of `datasets`."""
    if pa.types.is_list(type_):
        return {"list": [{"name": field.name, **_feature(field.type)} for field in type_.value_type]}
    return {"dtype": str(type_)}


def _text(rows: Sequence[MixtureRow], num_rows: int) -> list[str]:
    table = mixture_table(rows)
    return [
        "# Med42 Suite training mixture",
        f"{num_rows:,} conversations from {len(rows)} source{'' if len(rows) == 1 else 's'}, in the form that Med42 "
        "was trained on: system, prompter and assistant (Christophe et al. 2024, Med42 – Evaluating Fine-Tuning "
        "Strategies for Medical LLMs, arXiv:2404.14779). For research; no model made of it is fit for clinical use.",
        "## Licences",
        "There is no licence of the whole: each row keeps its source's, in the column `licence`. Some sources forbid "
        "commercial use or handing on, some ask for attribution, and some state no licence at all, which grants "
        "nothing. Read what the publishers say before you use, share or train on this; if in doubt, leave the source "
        "out of the spec.",
        _licences(rows),
        "## How to load it",
        _LOADING,
        f"`{EXAMPLES_FILE}` is plain Parquet, and `croissant.json` describes it in Croissant.",
        markdown_table("ll", ("Column", "What it holds"), _columns()),
        _TRAINING,
        "## What it is made of",
        table_a1(table),
        table.general_share(),
        "## How it was made",
        "Every source was read from its publisher's files; broken records were rejected and sound ones that must not "
        "be used were excluded, each with file, line and reason (`rejects.jsonl`). Texts were cleaned (Unicode NFC, "
        "control characters, HTML), exact duplicates counted, and the rows chosen by a keyed hash of their content, "
        "which is also their order. `mixture.json` has every file read with its SHA-256, and all counts.",
        counts_table(rows),
        "## Sources",
        *(_source(row) for row in rows),
    ]


def _columns() -> list[tuple[str, str]]:
    return [(Markdown(markdown_code(name)), what) for name, what in _COLUMNS.items()]


def _licences(rows: Sequence[MixtureRow]) -> str:
    lines = [(row["title"], f"{row['sampled']:,}", row["licence"]) for row in rows]
    return markdown_table("lrl", ("Source", "Rows", "Licence"), lines)


def _source(row: MixtureRow) -> str:
    """Write whom to credit for a source, and what exactly was read."""
    if row.get("format"):
        layout = f"files of your own, in the format {row['format']}"
    else:
        layout = "the publisher's files" if row["layout"] == "publisher" else "the rows of the hub"
    facts = {name: escape_markdown(row[name.lower()]) for name in ("Attribution", "Licence", "Citation")}
    facts["Read from"] = markdown_code(row["hub"]) if row["hub"] else f"{layout}, {len(row['files']):,} read"
    lines = [f"- {name}: {fact}" for name, fact in facts.items() if fact]
    return "\n".join([f"### {escape_markdown(row['title'])}", "", *lines])
