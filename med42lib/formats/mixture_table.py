"""The mixture beside the paper's Table A1: the numbers and sentences that the data set and the report both show.

    source     paper          here           difference
    MedMCQA    180,462 25.54  179,000 25.40  −1,462 −0.14
    medical    411,064 58.17  ...

A mixture is compared with the paper's only if it has all 17 sources. Of any other, such as the demo's, the paper's
counts are given for orientation, and no difference is: it would say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from med42lib.core.json_file import read_json_list
from med42lib.store.artifacts import Source

MIXTURE_FILE = "mixture.json"
"""One row of counts, files and licence per source, beside the assembled examples."""

TABLE_A1 = (
    *("medmcqa", "medical_flashcards", "stackexchange", "medqa", "cord19", "pubmedqa", "headqa", "mediqa"),
    *("health_advice", "pubmed_causal", "opengpt", "medquad", "mmlu", "niv2"),
    *("openorca_t0", "openorca_flan", "openorca_cot"),
)
"""Our names of the paper's sources, in the order of its Table A1 (Med42, AAAI 2024 Spring Symposium)."""

NUM_PAPER = {"medical": 411_064, "general": 295_649}
"""The sub-totals of Table A1. Their shares are 58.17 % and 41.83 %; text and caption round to 60 % and 40 %."""

DOMAIN_TITLES = {"medical": "Medical domain", "general": "General domain"}
TOTAL_PAPER = sum(NUM_PAPER.values())

COUNT_TITLES = {
    "read": "Read",
    "rejected": "Rejected",
    "excluded": "Excluded",
    "too_short": "Too short",
    "too_long": "Too long",
    "duplicates": "Duplicates",
    "duplicates_across_sources": "Also in another source",
    "kept": "Usable",
    "target_rows": "Target",
    "sampled": "Taken",
    "repeated": "of these repeats",
}
"""Column titles of the counts that a row of `mixture.json` has, in the order in which a record meets them."""

NOT_THE_PAPERS = "This is not the paper's mixture: the last column is what the paper took of sources of these names."

MixtureRow = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class MixtureLine:
    """One line of the table: a source, a domain's sub-total, or the total.

    `domain` is empty for the total. `paper` is None where Table A1 has no such line. `why` says in a few words what
    made the number ours; `origin` how the paper seems to have come to its own. Both are empty for totals.
    """

    kind: Literal["source", "domain", "total"]
    domain: str
    name: str
    title: str
    examples: int
    total: int
    paper: int | None
    why: str = ""
    origin: str = ""

    @property
    def share(self) -> float:
        """Share of the mixture, in [0, 1]."""
        return self.examples / self.total if self.total else 0.0

    @property
    def paper_share(self) -> float | None:
        """Share of the paper's mixture, in [0, 1]."""
        return None if self.paper is None else self.paper / TOTAL_PAPER

    @property
    def difference(self) -> int | None:
        """Examples more than in the paper."""
        return None if self.paper is None else self.examples - self.paper

    @property
    def points(self) -> float | None:
        """Share of the mixture more than in the paper, as a difference of shares."""
        return None if self.paper_share is None else self.share - self.paper_share


@dataclass(frozen=True, slots=True)
class MixtureTable:
    """The lines; `is_papers` if all of the paper's sources are there.

    A domain's sources come before its sub-total, which is left out if it is the total.
    """

    lines: tuple[MixtureLine, ...]
    is_papers: bool

    @property
    def sources(self) -> list[MixtureLine]:
        """The lines of sources."""
        return [line for line in self.lines if line.kind == "source"]

    @property
    def num_examples(self) -> int:
        """Count the examples of the mixture."""
        return self.lines[-1].examples

    def numbers(self, line: MixtureLine) -> tuple[str, ...]:
        """Write a line's numbers, examples and % each: the paper's, ours, and how much ours are more.

        If the mixture is not the paper's: ours, and the paper's examples alone. What is not there is empty.
        """
        paper = "" if line.paper is None else f"{line.paper:,}"
        here = f"{line.examples:,}", two_decimals(line.share)
        if not self.is_papers:
            return *here, paper
        if line.paper_share is None or line.points is None:
            return "", "", *here, "", ""
        more = signed(f"{line.difference:,}"), signed(two_decimals(line.points))
        return paper, two_decimals(line.paper_share), *here, *more

    def general_share(self) -> str:
        """Say how much of the mixture is of the general domain, here and in the paper."""
        examples = sum(line.examples for line in self.sources if line.domain == "general")
        share = examples / self.num_examples if self.num_examples else 0.0
        paper_share = NUM_PAPER["general"] / TOTAL_PAPER
        ours, paper = two_decimals(share), two_decimals(paper_share)
        here = f"General domain: {examples:,} of {self.num_examples:,} examples, {ours} %"
        if not self.is_papers:
            return f"{here}. In the paper's mixture it is {paper} % by its Table A1; its text says 40 %."
        compared = "as in" if ours == paper else f"{signed(two_decimals(share - paper_share))} points from"
        return f"{here}, {compared} the {paper} % of the paper's Table A1 (its text says 40 %)."


def read_mixture(dataset: Source) -> list[dict[str, Any]]:
    """Read the rows of `mixture.json`; none if the data set has no such file.

    Raises:
        DataError: If the file is broken.
    """
    return read_json_list(dataset.path(MIXTURE_FILE), "run assemble again") if dataset.has(MIXTURE_FILE) else []


def mixture_table(rows: Sequence[MixtureRow]) -> MixtureTable:
    """Lay out the rows of `mixture.json`: the paper's sources in its order, others after them."""
    order = {name: place for place, name in enumerate(TABLE_A1)}
    ranked = sorted(rows, key=lambda row: (order.get(row["source"], len(order)), row["source"]))
    total = sum(row["sampled"] for row in rows)
    is_papers = {row["source"] for row in rows if row.get("num_paper")} >= set(TABLE_A1)
    lines: list[MixtureLine] = []
    for domain, title in DOMAIN_TITLES.items():
        part = [row for row in ranked if row["domain"] == domain]
        lines += [_line(row, total) for row in part]
        if 0 < len(part) < len(rows):
            examples, paper = sum(row["sampled"] for row in part), NUM_PAPER[domain] if is_papers else None
            lines.append(MixtureLine("domain", domain, domain, title, examples, total, paper))
    lines.append(MixtureLine("total", "", "total", "Total", total, total, TOTAL_PAPER if is_papers else None))
    return MixtureTable(tuple(lines), is_papers)


def two_decimals(share: float) -> str:
    """Write a share as a percentage with two decimals, as Table A1 does: 0.41834 as "41.83"."""
    return f"{share * 100:.2f}"


def signed(number: str) -> str:
    """Set a sign before a written number: "+1.20", "−0.14"; a zero has none."""
    if not number.strip("-0.,"):
        return number.lstrip("-")
    return f"−{number[1:]}" if number.startswith("-") else f"+{number}"


def _line(row: MixtureRow, total: int) -> MixtureLine:
    paper = row.get("num_paper") or None
    return MixtureLine(
        "source",
        row["domain"],
        row["source"],
        row["title"],
        row["sampled"],
        total,
        paper,
        "" if row["sampled"] == paper else _why(row),
        row.get("num_paper_origin", ""),
    )


def _why(row: MixtureRow) -> str:
    """Say what made the number what it is: the target, or what the source has."""
    if row["short_by"]:
        why = f"the source has {row['kept']:,} usable rows, {row['short_by']:,} fewer than its target"
    elif row["target"] == "all":
        why = "all usable rows"
    else:
        why = f"the target: {row['target']:,}" if isinstance(row["target"], int) else f"the target: {row['target']}"
    return f"{why}; {row['repeated']:,} of them repeats" if row["repeated"] else why
