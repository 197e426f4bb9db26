"""Records that cannot be used: set aside with file, line and reason, counted, and never lost.

Two kinds, because they mean different things to whoever reads the counts:

    rejected   the record is broken; too many of them fail the stage
    excluded   the record is sound but must not be used: a question about an image, an official test question
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, Literal, TypeVar

from med42lib.core.errors import DataError
from med42lib.core.excerpts import quotes_records

REJECTS_FILE = "rejects.jsonl"
RECORD_CHARACTERS = 500
_DETAIL_CHARACTERS = 200
_SHOWN_CHARACTERS = 80
_SHOWN_REASONS = 3

T = TypeVar("T")


class BadRecord(Exception):
    """One record that is broken, in a file that is otherwise fine.

    `reason` is the same for all records with the same fault, so that they can be counted; `detail` holds the
    values of this one.
    """

    kind: Literal["rejected", "excluded"] = "rejected"

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason} ({detail})" if detail else reason)
        self.reason = reason
        self.detail = detail[:_DETAIL_CHARACTERS]

    def at(self, file: str, line: int, record: object) -> Reject:
        """Say which record it was."""
        return Reject(file, line, self.kind, self.reason, self.detail, record_text(record))


class ExcludedRecord(BadRecord):
    """One record that is sound, but must not be used."""

    kind = "excluded"


@dataclass(frozen=True, slots=True)
class Reject:
    """A record set aside; `record` is its beginning, as text."""

    file: str
    line: int
    kind: Literal["rejected", "excluded"]
    reason: str
    detail: str
    record: str

    @property
    def example(self) -> str:
        """Show the record in one short line, or say its place alone."""
        place = f"{self.file}:{self.line}"
        if not quotes_records():
            return place
        detail = f" ({self.detail})" if self.detail else ""
        return f"{place}{detail} {self.record[:_SHOWN_CHARACTERS]!r}"


def record_text(record: object) -> str:
    """Write any record as text, at most `RECORD_CHARACTERS` long."""
    if isinstance(record, bytes):
        text = record[: 4 * RECORD_CHARACTERS].decode("utf-8", "backslashreplace")
    elif isinstance(record, str):
        text = record
    else:
        text = _as_json(record)
    return text[:RECORD_CHARACTERS].encode("utf-8", "backslashreplace").decode("utf-8")


def _as_json(record: object) -> str:
    try:
        return json.dumps(record, ensure_ascii=False, default=_plain)
    except RecursionError:
        return "nested too deeply to be shown"


def _plain(value: object) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


class TooManyRejected(DataError):
    """More of a data set's records are broken than the settings allow."""


class Tally:
    """What became of one source's records. Those set aside are written to `write`, one JSON line each."""

    def __init__(self, source: str, write: Callable[[str], object] = lambda line: None) -> None:
        self.source = source
        self.num_kept = 0
        self.rejected: Counter[str] = Counter()
        self.excluded: Counter[str] = Counter()
        self._first: dict[str, Reject] = {}
        self._write = write

    @property
    def num_read(self) -> int:
        """Count all records, usable or not."""
        return self.num_kept + self.rejected.total() + self.excluded.total()

    def keep(self, records: Iterable[T | Reject]) -> Iterator[T]:
        """Yield the usable records and count them, an Arrow batch by its rows; count and write the others."""
        for record in records:
            if isinstance(record, Reject):
                self._set_aside(record)
            else:
                self.num_kept += getattr(record, "num_rows", 1)
                yield record

    def check(self, max_rejected_share: float) -> None:
        """Make sure that there is something to use, and that not too much was broken.

        Raises:
            DataError: With the three commonest reasons and an example of each; `TooManyRejected` in the second case.
        """
        if not self.num_read:
            raise DataError(f"{self.source}: its files hold no records; check the path")
        num_rejected = self.rejected.total()
        if num_rejected > max_rejected_share * self.num_read:
            raise TooManyRejected(
                f"{self.source}: {num_rejected:,} of {self.num_read:,} records were rejected "
                f"({num_rejected / self.num_read:.1%}), more than max_rejected_share = {max_rejected_share:.1%}\n"
                f"{self._commonest(self.rejected)}\n"
                "mend the files, or raise max_rejected_share (of assemble, or of benchmarks)"
            )
        if not self.num_kept:
            raise DataError(
                f"{self.source}: none of its {self.num_read:,} records can be used\n"
                f"{self._commonest(self.rejected + self.excluded)}\ncheck the path"
            )

    def counts(self) -> dict[str, Any]:
        """Give the counts for a summary."""
        return {
            "read": self.num_read,
            "rejected": self.rejected.total(),
            "rejected_by_reason": dict(sorted(self.rejected.items())),
            "excluded": self.excluded.total(),
            "excluded_by_reason": dict(sorted(self.excluded.items())),
        }

    def _set_aside(self, reject: Reject) -> None:
        (self.rejected if reject.kind == "rejected" else self.excluded)[reject.reason] += 1
        self._first.setdefault(reject.reason, reject)
        self._write(json.dumps({"source": self.source, **asdict(reject)}, ensure_ascii=False) + "\n")

    def _commonest(self, reasons: Counter[str]) -> str:
        return "\n".join(
            f"  {count:,} × {reason}, first at {self._first[reason].example}"
            for reason, count in reasons.most_common(_SHOWN_REASONS)
        )
