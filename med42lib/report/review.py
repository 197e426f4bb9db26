"""A sample of pairs for people to judge, and the precision that their verdicts show.

The sample is stratified: each label and each band of cosines is drawn from alike, as far as it goes, so that few
verdicts say something of each. What is judged are the texts alone; labels, cosines and detectors are not shown, since
they would tell what to expect. Rows come in random order, so that whoever stops early has judged a random sample too.
"""

from __future__ import annotations

import csv
import io
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import numpy as np

from med42lib.core.errors import DataError
from med42lib.core.excerpts import brief, cut
from med42lib.core.printable import no_formula, printable
from med42lib.core.sampling import sample_by_hash, sampling_key
from med42lib.formats.contamination import OVERLAPS_FILE, PAIRS_FILE, STEMS_FILE, Label, Pair, read_pairs
from med42lib.formats.written import MISSING, percent, percent_of
from med42lib.report.dependence import clustered_share
from med42lib.report.estimates import Estimate, Stratum, stratified_share
from med42lib.report.formatting import integer, interval_limits
from med42lib.store.artifacts import Source

BANDS = (0.8, 0.85, 0.9, 0.95)
"""Cosines at which a stratum ends and the next begins."""

VERDICT = "verdict"
_SHOWN = ("item_request", "item_answer", "example_request", "example_answer", "benchmark", "source")
_IDS = ("item_id", "example_id")
COLUMNS = (VERDICT, "remark", *_SHOWN, *_IDS)
_MOST_CHARACTERS = 20_000
"""Of a cell: a spreadsheet takes 32,767."""

Key = TypeVar("Key", bound=Hashable)
Ids = tuple[str, str]


class Verdict(StrEnum):
    """What a person may write about a pair."""

    LEAK = "leak"
    NO_LEAK = "not a leak"
    UNSURE = "unsure"


class Found(StrEnum):
    """Where decontamination put a pair: flagged by its cosine, found by words alone, or a stem that was told apart."""

    FLAGGED = PAIRS_FILE
    WORDS_ALONE = OVERLAPS_FILE
    STEM = STEMS_FILE


@dataclass(frozen=True, slots=True)
class Group:
    """Pairs that are drawn from together."""

    found: Found
    label: Label
    band: int

    @classmethod
    def of(cls, found: Found, pair: Pair) -> Group:
        """Give a pair's group."""
        return cls(found, Label(pair.label), bisect_right(BANDS, pair.cosine))


@dataclass(frozen=True, slots=True)
class Precision:
    """How many of some pairs are leaks.

    `share` and `of_others` leave unsure verdicts out; `at_least` takes them for no leaks. `num_pairs` counts the pairs
    of the groups that have a verdict, and `num_unseen` those of groups without one. `num_effective` independent
    verdicts would tell as much of the pairs of other benchmark questions as those that were given.
    """

    title: str
    num_pairs: int
    num_unseen: int
    verdicts: Mapping[Verdict, int]
    share: Estimate | None
    at_least: Estimate | None
    of_others: Estimate | None
    num_effective: float


class Pairs:
    """All pairs of an output of decontaminate, in the groups that they are drawn from."""

    def __init__(self, pairs: Iterable[tuple[Found, Pair]]) -> None:
        self._pairs: dict[Ids, Pair] = {}
        self._groups: dict[Ids, Group] = {}
        self._in_sample: dict[Ids, Ids] = {}
        for found, pair in pairs:
            ids = pair.item_id, pair.example_id
            self._pairs[ids] = pair
            self._groups[ids] = Group.of(found, pair)
            self._in_sample[_ids_in_sample(pair)] = ids
        self.sizes = Counter(self._groups.values())

    @classmethod
    def read(cls, contamination: Source) -> Pairs:
        """Read an output of decontaminate."""
        return cls((found, pair) for found in Found for pair in read_pairs(contamination.path(found.value)))

    def draw(self, count: int, *, seed: int) -> list[Pair]:
        """Draw pairs, as many of each group as of any other while it has them; in random order."""
        members: dict[Group, list[Ids]] = {}
        for ids, group in self._groups.items():
            members.setdefault(group, []).append(ids)
        drawn = [
            ids
            for group, share in allocate(self.sizes, count).items()
            for ids in sample_by_hash(members[group], share, seed=seed, id="\n".join)
        ]
        # Another seed than that of the draw, by which groups of which little was drawn would come first.
        drawn.sort(key=lambda ids: sampling_key(seed + 1, "\n".join(ids)))
        return [self._pairs[ids] for ids in drawn]

    def judge(self, verdicts: Mapping[Ids, Verdict], confidence: float) -> list[Precision]:
        """Estimate which share is leaks: of each label, of all that is flagged, and of what words alone find."""
        kinds = [(label.heading, [group for group in self.sizes if group.label == label]) for label in Label]
        for title, found in (("All flagged pairs", Found.FLAGGED), ("All found by words alone", Found.WORDS_ALONE)):
            kinds.append((title, [group for group in self.sizes if group.found == found]))
        return [self._precision(title, groups, verdicts, confidence) for title, groups in kinds if groups]

    def _precision(
        self, title: str, groups: Collection[Group], verdicts: Mapping[Ids, Verdict], confidence: float
    ) -> Precision:
        judged = {ids: verdict for ids, verdict in verdicts.items() if self._groups[ids] in groups}
        decided = {ids: verdict for ids, verdict in judged.items() if verdict is not Verdict.UNSURE}
        counts, strata = Counter(judged.values()), self._strata(judged)
        num_pairs = sum(self.sizes[group] for group in strata)
        of_others, num_effective = self._share_of_others(decided, confidence) if decided else (None, 0.0)
        return Precision(
            title,
            num_pairs,
            sum(self.sizes[group] for group in groups) - num_pairs,
            {verdict: counts[verdict] for verdict in Verdict},
            stratified_share(list(self._strata(decided).values()), confidence) if decided else None,
            stratified_share(list(strata.values()), confidence) if judged else None,
            of_others,
            num_effective,
        )

    def _strata(self, verdicts: Mapping[Ids, Verdict]) -> dict[Group, Stratum]:
        """Count leaks and verdicts by the groups that have any."""
        counts = Counter((self._groups[ids], verdict) for ids, verdict in verdicts.items())
        drawn = {group: sum(counts[group, verdict] for verdict in Verdict) for group in self.sizes}
        return {group: Stratum(counts[group, Verdict.LEAK], n, self.sizes[group]) for group, n in drawn.items() if n}

    def _share_of_others(self, verdicts: Mapping[Ids, Verdict], confidence: float) -> tuple[Estimate, float]:
        """Estimate the share among pairs that other questions would have; those of one question are alike."""
        groups, questions = [self._groups[ids] for ids in verdicts], [item for item, _ in verdicts]
        numbers = {group: number for number, group in enumerate(self._strata(verdicts))}
        return clustered_share(
            np.array([verdict is Verdict.LEAK for verdict in verdicts.values()]),
            np.array([numbers[group] for group in groups]),
            np.array([self.sizes[group] for group in numbers]),
            np.unique(questions, return_inverse=True)[1],
            confidence,
        )

    def found(self, row: Mapping[str, str]) -> Ids | None:
        """Give the ids of the pair that a row of a sample is about; None if it is not of this output."""
        return self._in_sample.get((row["item_id"], row["example_id"]))


def allocate(sizes: Mapping[Key, int], count: int) -> dict[Key, int]:
    """Share out a number among groups evenly, but none gets more than its size: 10 among 2, 8 and 9 are 2, 4 and 4."""
    shares: dict[Key, int] = {}
    smallest_first = sorted(sizes.items(), key=lambda entry: entry[1])
    for position, (key, size) in enumerate(smallest_first):
        shares[key] = min(size, (count - sum(shares.values())) // (len(sizes) - position))
    return shares


def _ids_in_sample(pair: Pair) -> Ids:
    return no_formula(pair.item_id), no_formula(pair.example_id)


def write_sample(file: Path, pairs: Iterable[Pair]) -> None:
    """Write pairs as CSV with empty verdicts, which spreadsheets open as UTF-8 and read as text, never as formulas."""
    with file.open("x", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for pair in pairs:
            shown = [no_formula(cut(printable(getattr(pair, name)), _MOST_CHARACTERS)) for name in _SHOWN]
            writer.writerow(["", "", *shown, *_ids_in_sample(pair)])


def read_verdicts(file: Path, pairs: Pairs) -> dict[Ids, Verdict]:
    """Read a sample that was filled in; rows without a verdict are left out.

    Commas, semicolons and tabs may part the columns, as spreadsheets write them in different countries.

    Raises:
        DataError: If the file cannot be read, a verdict is none, a pair is not of this output or there twice, or no
            verdict is filled in; with file and line.
    """
    verdicts: dict[Ids, Verdict] = {}
    for where, row in _rows(file):
        ids = pairs.found(row)
        written = " ".join(row[VERDICT].split()).lower()
        if ids is None:
            named = brief(tuple(row[name] for name in _IDS))
            raise DataError(f"{where}: no pair of {named} in this output; read it with the output it was drawn from")
        if written and written not in set(Verdict):
            raise DataError(
                f"{where}: the verdict {brief(row[VERDICT])} is none; write {', '.join(Verdict)}, or nothing"
            )
        if ids in verdicts:
            raise DataError(f"{where}: the pair {brief(ids)} is there twice; leave one")
        if written:
            verdicts[ids] = Verdict(written)
    if not verdicts:
        raise DataError(f"{file}: no verdict is filled in; write {', '.join(Verdict)} into the column {VERDICT}")
    return verdicts


def _rows(file: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Read the rows by their columns, each with the file and the line that it begins at."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error}); give the file that was filled in") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 ({error}); save it as `CSV UTF-8`") from error
    lines = _lines(file, text)
    _, names = next(lines, ("", []))
    if absent := [name for name in (VERDICT, *_IDS) if name not in names]:
        raise DataError(f"{file}:1 has no column {', '.join(absent)}; keep the first line of the sample")
    for where, values in lines:
        if len(values) != len(names):
            raise DataError(
                f"{where} has {len(values)} columns, the first line {len(names)}; put the row back as it was drawn"
            )
        yield where, dict(zip(names, values, strict=True))


def _lines(file: Path, text: str) -> Iterator[tuple[str, list[str]]]:
    """Read the rows and the heading, each with the file and the line that it begins at."""
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    where = f"{file}:1"
    try:
        for values in reader:
            yield where, values
            where = f"{file}:{reader.line_num + 1}"
    except csv.Error as error:
        raise DataError(
            f"{where} begins a row that cannot be read ({error}); look for a quote that none closes"
        ) from error


def precision_lines(found: Sequence[Precision], confidence: float) -> Iterator[str]:
    """Write precision as a table for a screen."""
    leaks = f"leaks, % [{percent_of(confidence)}]"
    heading = ("", "pairs", *Verdict, leaks, "unsure as no leaks", "of other questions", "effective n")
    rows = [heading, *(_row(one) for one in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heading))]
    for first, *others in rows:
        cells = (text.rjust(width) for text, width in zip(others, widths[1:], strict=True))
        yield "  ".join([first.ljust(widths[0]), *cells]).rstrip()
    for one in found:
        if one.num_unseen:
            yield f"{one.title}: {integer(one.num_unseen)} more pairs, of strata without a verdict, do not count."
    yield (
        "leaks: of the pairs that were found here. of other questions: the same share's interval for pairs of other "
        "benchmark questions, where a question's pairs are alike and count as effective n."
    )


def _row(found: Precision) -> tuple[str, ...]:
    counts = (integer(found.verdicts[verdict]) for verdict in Verdict)
    shares = _interval(found.share), _interval(found.at_least), interval_limits(found.of_others) or MISSING
    return found.title, integer(found.num_pairs), *counts, *shares, integer(found.num_effective)


def _interval(estimate: Estimate | None) -> str:
    return percent(estimate.value if estimate else None) + (f" {interval_limits(estimate)}" if estimate else "")
