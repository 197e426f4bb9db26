"""Fields of a record that hold text and that its reader never asked for.

    {"question": "Which is it?", "context": ["A man ..."], "topic": "Cardiology"}

A reader that takes the question alone leaves two fields. `topic` is named in the source's summary; without `context`
nobody could answer, so the record is refused. Fields are the record's own, not those of objects inside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from med42lib.formats.rejects import BadRecord

NEEDED = frozenset(
    (
        *("context", "contexts", "passage", "passages", "paragraph", "paragraphs", "abstract", "article", "document"),
        *("vignette", "case", "case_vignette", "background", "premise", "support", "story", "history"),
        *("turns", "messages", "conversation", "conversations", "dialogue", "dialog"),
        *("exp", "explanation", "rationale", "image", "images"),
    )
)
"""Names, in small letters, of what stands beside a question and changes what it asks or teaches."""

_MAX_DEPTH = 3
_MOST_NAMES, _NAME_CHARACTERS = 100, 100
_FURTHER = "further fields"

T = TypeVar("T")


class Row(dict[str, Any]):
    """A record that remembers which of its fields were asked for."""

    def __init__(self, record: dict[str, Any]) -> None:
        super().__init__(record)
        self._read: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self._read.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Give a field, or `default` where it is missing."""
        self._read.add(key)
        return super().get(key, default)

    def unread(self) -> tuple[str, ...]:
        """Name the fields with text that nobody asked for.

        Raises:
            BadRecord: If one of them is `NEEDED`.
        """
        names = tuple([name for name, value in self.items() if name not in self._read and _holds_text(value)])
        for name in names:
            if name.lower() in NEEDED:
                raise BadRecord(
                    f"this source's reader would drop the text in {name!r}; of your own data, say it in `fields` or "
                    "`ignore`",
                    str(super().get(name)),
                )
        return names


def _holds_text(value: object, depth: int = _MAX_DEPTH) -> bool:
    """Say whether a value has a letter in it, be it in a list or an object."""
    if isinstance(value, str):
        return any(map(str.isalpha, value))
    if isinstance(value, dict):
        value = list(value.values())
    return isinstance(value, list) and depth > 0 and any(_holds_text(part, depth - 1) for part in value)


class UnreadFields:
    """Counts, by a field's name, the records of a source whose text in it nobody read."""

    def __init__(self) -> None:
        self._records: Counter[str] = Counter()

    def counted(self, records: Iterable[T]) -> Iterator[T]:
        """Pass on what a reader gives, and count."""
        for record in records:
            for name in getattr(record, "unread", ()):
                self._count(name[:_NAME_CHARACTERS].encode("utf-8", "backslashreplace").decode())
            yield record

    def _count(self, name: str) -> None:
        known = name in self._records or len(self._records) < _MOST_NAMES
        self._records[name if known else _FURTHER] += 1

    def counts(self) -> dict[str, int]:
        """Give the counts for a summary, by name."""
        return dict(sorted(self._records.items()))
