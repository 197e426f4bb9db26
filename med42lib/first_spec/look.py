"""What the files of a folder hold: the shape of their rows, where their parts are, and what nobody can tell.

Each shape is tried on a file's first rows, under the usual names and then under names that look like them; the one that
reads the most of them is meant. Files that differ in a number alone, such as `train-00000-of-00002.parquet`, are one.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from med42lib.assemble.config import SourceConfig
from med42lib.assemble.own.source import source_of
from med42lib.assemble.source import ReadOptions
from med42lib.core.errors import DataError
from med42lib.core.excerpts import cut
from med42lib.core.printable import counted
from med42lib.first_spec.names import guessed_fields, guessed_group
from med42lib.formats.rejects import Reject, Tally
from med42lib.readers.files import DataFolder
from med42lib.readers.hf_layout import named_split, table_names
from med42lib.readers.own.answers import UnclearAnswers
from med42lib.readers.own.fields import FieldMapping, FieldNames, Format, is_empty
from med42lib.readers.own.tables import OWN_SUFFIXES, rows_of
from med42lib.readers.parsers import Record

FIRST_ROWS = 100
_MOST_FIELDS = 8
_ORDER: tuple[Format, ...] = ("conversations", "multiple_choice", "instruction")
_ASKED: Mapping[Format, str] = {
    "conversations": "messages",
    "multiple_choice": "question",
    "instruction": "instruction",
}
_BY_HAND = "if its parts have other names, write its entry by hand, with `fields`: med42lib/readers/own/README.md"
_TEST_SET = re.compile(
    r"(?<![a-z])(exams?|quiz|benchmarks?|bench|evals?|evaluation|questions?(?!.*answer)|tests)(?![a-z])"
)


@dataclass(frozen=True, slots=True)
class Found:
    """A file, or several of one pattern, and what its rows are; `shape` is None if they are of none, for `why_not`.

    `names` are the fields that are read, `unread` those with text that are not, `fields` those of the former that are
    called in another way than usual. `rejected` counts the broken among the rows that cannot be used, `repeated_ids`
    the questions whose id another one before them has. `unsure` is what nobody can tell from the rows. `is_kind` says
    that these are all files of a kind that is not read.
    """

    path: str
    shape: Format | None = None
    fields: FieldMapping = field(default_factory=dict)
    names: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    group: str = ""
    rows: int = 0
    usable: int = 0
    rejected: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    repeated_ids: int = 0
    unsure: str = ""
    why_not: str = ""
    is_kind: bool = False

    @property
    def is_held_out(self) -> bool:
        """Say whether it is called a test set: by the split that its name says, or else by another usual word."""
        split = named_split(self.path)
        return _TEST_SET.search(self.path.lower()) is not None if split is None else split != "train"


def look_at(folder: DataFolder) -> Iterator[Found]:
    """Say of each file, or files of one pattern, what it holds, by names, then which kinds are not read."""
    tables = table_names(folder, "", OWN_SUFFIXES)
    for path, names in sorted(_by_pattern(tables).items()):
        try:
            yield _found(folder, path, names)
        except DataError as error:
            yield Found(path, why_not=str(error))
    others = Counter(PurePosixPath(name).suffix for name in folder.names("") if not name.lower().endswith(OWN_SUFFIXES))
    for suffix, number in sorted(others.items()):
        if suffix:
            what = f"{counted(number, 'file')} of a kind that is not read; write CSV, JSON lines or Parquet"
            yield Found(f"*{suffix}", why_not=what, is_kind=True)


def _by_pattern(names: Sequence[str]) -> dict[str, list[str]]:
    patterns: dict[str, list[str]] = defaultdict(list)
    for name in names:
        path = PurePosixPath(name)
        patterns[str(path.with_name(re.sub(r"\d+", "*", path.name)))].append(name)
    return {
        path: files
        for pattern, found in patterns.items()
        for path, files in (
            {pattern: found} if _is_apt(pattern, found, names) else {name: [name] for name in found}
        ).items()
    }


def _is_apt(pattern: str, found: Sequence[str], names: Sequence[str]) -> bool:
    """Say whether a pattern is that of several files, and of no other."""
    return len(found) > 1 and len(fnmatch.filter(names, pattern)) == len(found)


def _found(folder: DataFolder, path: str, names: Sequence[str]) -> Found:
    read = list(islice(rows_of([folder.file(name) for name in names]), FIRST_ROWS))
    first = [record.value for record in read if isinstance(record, Record) and isinstance(record.value, dict)]
    if not first:
        return Found(path, why_not=_why_no_rows(read))
    held = dict.fromkeys(str(name) for row in first for name, value in row.items() if not is_empty(value))
    tried = [
        _read(folder, Found(path, shape, fields), FIRST_ROWS) for shape in _ORDER for fields in _ways(shape, first)
    ]
    best = max(tried, key=_fit)
    if best.shape is None or not best.usable:
        why_not = f"its rows, of the fields {_some(held)}, are of no shape that is read ({_why_no_shape(tried, first)})"
        return Found(path, rows=best.rows, why_not=f"{why_not}; {_BY_HAND}")
    whole = _read(folder, replace(best, group=guessed_group(first), unsure=""), None)
    return replace(whole, names=tuple(name for name in held if name not in whole.unread))


def _fit(found: Found) -> float:
    """Weigh what a shape reads: questions with options twice, which are instructions too if their options are lost.

    A list of another name may hold what a text speaks of: it is one of options if nine of ten answers are in it.
    """
    if found.shape != "multiple_choice":
        return found.usable
    return found.usable * (10 / 9 if isinstance(found.fields.get("options"), str) else 2)


def _why_no_shape(tried: Sequence[Found], rows: Sequence[Mapping[str, Any]]) -> str:
    """Give the reasons of the shapes that found what is asked; those of all if none did."""
    failed = [found for found in tried if found.reasons]
    near = [found for found in failed if _finds_what_is_asked(found, rows)]
    shapes = {next(iter(found.reasons)): found.shape for found in near or failed}
    return "; ".join(f"as {shape}: {reason}" for reason, shape in shapes.items())


def _finds_what_is_asked(found: Found, rows: Sequence[Mapping[str, Any]]) -> bool:
    assert found.shape is not None, "it was tried"
    names = FieldNames.of(found.shape, found.fields).names[_ASKED[found.shape]]
    return any(not is_empty(row.get(name)) for row in rows for name in names)


def _why_no_rows(read: Sequence[Record[Any] | Reject]) -> str:
    if not read:
        return "it holds no rows"
    rejects = (f"{one.reason}, first at {one.example}" for one in read if isinstance(one, Reject))
    reason = next(rejects, "they are no objects of named fields")
    return f"its rows cannot be read: {reason}"


def _some(names: Iterable[str]) -> str:
    shown = list(islice(names, _MOST_FIELDS + 1))
    return ", ".join(map(cut, shown[:_MOST_FIELDS])) + (" …" if len(shown) > _MOST_FIELDS else "")


def _ways(shape: Format, rows: Sequence[Mapping[str, Any]]) -> list[FieldMapping]:
    """Give the usual names, and those that look like them, where that is another try."""
    guessed = guessed_fields(shape, rows)
    return [{}, guessed] if guessed else [{}]


def _read(folder: DataFolder, found: Found, most: int | None) -> Found:
    """Count what can be used of a file's first rows, or of all.

    Where nobody can tell how answers are written, they are counted as they can be read in one way.
    """
    settings = _settings(found)
    try:
        return _counted(found, _records(folder, settings, most))
    except UnclearAnswers as unclear:
        settings = settings.model_copy(update={"answers": unclear.ways[0]})
        return replace(_counted(found, _records(folder, settings, most)), unsure=str(unclear))


def _records(folder: DataFolder, settings: SourceConfig, most: int | None) -> Iterator[Any]:
    assert settings.path is not None, "a source of the user's own has a path"
    return source_of("own", settings).publisher.read(folder, settings.path, ReadOptions("letters", first_rows=most))


def _counted(found: Found, records: Iterable[Any]) -> Found:
    tally, unread, ids = Tally(found.path), dict[str, None](), Counter[str]()
    for record in tally.keep(records):
        unread |= dict.fromkeys(record.unread)
        ids.update(filter(None, (record.value.publisher_id,)))
    return replace(
        found,
        rows=tally.num_read,
        usable=tally.num_kept,
        rejected=tally.rejected.total(),
        reasons=dict((tally.rejected + tally.excluded).most_common(3)),
        unread=tuple(unread),
        repeated_ids=ids.total() - len(ids),
    )


def _settings(found: Found) -> SourceConfig:
    values = {"format": found.shape, "path": found.path, "target": "all", "licence": "?", "fields": found.fields}
    return SourceConfig.model_validate(values | ({"group": found.group} if found.group else {}))
