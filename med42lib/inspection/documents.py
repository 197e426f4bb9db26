"""One record out of a document: which of its parts is meant by "the third record"?

A document does not say what its records are, and each publisher nests them differently:

    HeadQA    {"exams": {"<exam>": {"data": [record, record]}, "<exam>": {"data": [record]}}}
    PubMedQA  {"<pmid>": record, "<pmid>": record}
    MedQuAD   <Document><QAPairs><QAPair>record</QAPair> <QAPair>record</QAPair></QAPairs></Document>

So every part is listed under its path, with `*` for what is counted through (here `exams.*.data.*`, `*` and
`Document/QAPairs/QAPair`). Of the parts that are number 3 under their path, the record is the one whose words are most
like the example's.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Set
from typing import Any, TypeVar

_WORD = re.compile(r"\w+")

T = TypeVar("T")


def words_of(*texts: str) -> frozenset[str]:
    """Collect the different words of texts."""
    return frozenset(word for text in texts for word in _WORD.findall(text.lower()))


def record_of_json(document: Any, number: int, words: Set[str]) -> Any | None:
    """Give record `number` of a JSON document: a list's, or the part most like `words`; None if there is none."""
    if isinstance(document, list):
        return document[number - 1] if number <= len(document) else None
    parts = ((path, part, words_of(*_strings(part))) for path, part in _objects(document, ""))
    return _most_alike(parts, number, words)


def record_of_xml(root: ET.Element, number: int, words: Set[str]) -> ET.Element | None:
    """Give the element that is number `number` under its path and most like `words`; None if there is none.

    A record has attributes, its id among them, wherever any element has: so a record's text is not taken for it.
    """
    elements = list(_inner_first(root, root.tag))
    named = any(part.attrib for _, part in elements)
    parts = ((path, part, words_of(*part.itertext())) for path, part in elements if part.attrib or not named)
    return _most_alike(parts, number, words)


def _most_alike(parts: Iterable[tuple[str, T, frozenset[str]]], number: int, words: Set[str]) -> T | None:
    """Choose by the share of common words; of two that are equally alike, the first wins."""
    counts: dict[str, int] = {}
    best, highest = None, 0.0
    for path, part, spoken in parts:
        counts[path] = counts.get(path, 0) + 1
        if counts[path] == number:
            alike = len(spoken & words) / max(1, len(spoken | words))
            if alike > highest:
                best, highest = part, alike
    return best


def _objects(value: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, list):
        for element in value:
            yield from _objects(element, f"{path}.*")
    elif isinstance(value, dict):
        yield path, value
        counted = all(isinstance(element, dict) for element in value.values())
        for key, element in value.items():
            yield from _objects(element, f"{path}.{'*' if counted else key}")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for element in value.values() if isinstance(value, dict) else value:
            yield from _strings(element)


def _inner_first(element: ET.Element, path: str) -> Iterator[tuple[str, ET.Element]]:
    for child in element:
        yield from _inner_first(child, f"{path}/{child.tag}")
    yield path, element
