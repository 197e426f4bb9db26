"""The data set in Croissant 1.0: JSON-LD that says which file there is, and which fields its records have.

The fields of a list of records, `exchanges`, are sub-fields that take their part of the list by a JSON path.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from med42lib.core.printable import counted
from med42lib.formats.dataset import SCHEMA
from med42lib.formats.mixture_table import MixtureRow
from med42lib.store.manifest import FileEntry

CROISSANT_FILE = "croissant.json"
CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
RECORDS = "examples"

_DATA_TYPES = {pa.string(): "sc:Text", pa.int64(): "sc:Integer"}
_TERMS = (
    *("citeAs", "column", "conformsTo", "equivalentProperty", "extract", "field", "fileProperty", "fileObject"),
    *("fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet"),
    *("references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    **{term: f"cr:{term}" for term in _TERMS},
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}
"""The context that the specification gives (section "Namespaces" of Croissant 1.0)."""


def croissant(rows: Sequence[MixtureRow], file: FileEntry) -> str:
    """Write the description.

    It has no date, so that equal data are described by equal bytes.

    Args:
        rows: The rows of `mixture.json`.
        file: The Parquet file of examples.
    """
    num_examples = sum(row["sampled"] for row in rows)
    description = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": "med42-suite-training-mixture",
        "description": f"{counted(num_examples, 'instruction-tuning conversation')} from "
        f"{counted(len(rows), 'source')}: {', '.join(row['title'] for row in rows)}. Each row names its own licence.",
        "conformsTo": CONFORMS_TO,
        "version": "1.0.0",
        **({} if any(row.get("format") for row in rows) else {"inLanguage": "en"}),
        "license": sorted({row["licence"] for row in rows}),
        "citeAs": "\n".join(row["citation"] for row in rows if row["citation"]),
        "distribution": [_file(file)],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": RECORDS,
                "name": RECORDS,
                "description": "Training conversations, in the order of the mixture.",
                "field": [_field(field, file.path, (field.name,)) for field in SCHEMA],
            }
        ],
    }
    return json.dumps(description, indent=1) + "\n"


def _file(file: FileEntry) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "contentUrl": file.path,
        "contentSize": f"{file.bytes} B",
        "encodingFormat": "application/x-parquet",
        "sha256": file.sha256,
    }


def _field(field: pa.Field, file: str, path: tuple[str, ...]) -> dict[str, Any]:
    """Describe a column, or a part of one; `path` leads to it from the row."""
    column, *inside = path
    source: dict[str, Any] = {"fileObject": {"@id": file}, "extract": {"column": column}}
    if inside:
        source["transform"] = {"jsonPath": ".".join(inside)}
    name = "/".join((RECORDS, *path))
    described = {"@type": "cr:Field", "@id": name, "name": name, "source": source}
    if pa.types.is_list(field.type):
        parts = [_field(part, file, (*path, part.name)) for part in field.type.value_type]
        return {**described, "repeated": True, "subField": parts}
    return {**described, "dataType": _DATA_TYPES[field.type]}
