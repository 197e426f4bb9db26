"""The mixture beside the paper's Table A1."""

from __future__ import annotations

from med42lib.formats.mixture_table import (
    NOT_THE_PAPERS,
    MixtureLine,
    MixtureTable,
    mixture_table,
    signed,
    two_decimals,
)
from med42lib.report.formatting import integer
from med42lib.report.pages.tables import Table, TableRow, number_columns, plain_row, text_columns
from med42lib.report.provenance.record import Provenance


def paper_mixture_table(provenance: Provenance) -> Table | None:
    """Set the mixture beside the paper's Table A1; None if what is recorded of it does not say enough.

    If it is not the paper's mixture, the paper's counts come last and are not compared.
    """
    if not all("domain" in row and "num_paper" in row for row in provenance.mixture):
        return None
    table = mixture_table(provenance.mixture)
    return _compared_table(table) if table.is_papers else _orienting_table(table)


def _compared_table(table: MixtureTable) -> Table:
    rows = []
    for line in table.lines:
        paper = (_count(line.paper), _ratio(line.paper_share))
        differences = (_signed_count(line.difference), signed(_ratio(line.points)))
        rows.append(_mixture_row(line, *paper, integer(line.examples), two_decimals(line.share), *differences))
    pair = ["Examples", "%"]
    return Table(
        caption="The mixture beside the paper's Table A1",
        columns=(
            *text_columns("Source"),
            *number_columns(pair, group="Table A1"),
            *number_columns(pair, group="This mixture"),
            *number_columns(["Examples", "points"], group="Difference"),
        ),
        rows=tuple(rows),
        note=" ".join([table.general_share(), *(_reason(line) for line in table.sources if line.why)]),
    )


def _orienting_table(table: MixtureTable) -> Table:
    rows = [
        _mixture_row(line, integer(line.examples), two_decimals(line.share), _count(line.paper)) for line in table.lines
    ]
    return Table(
        caption="The mixture by source and domain",
        columns=(*text_columns("Source"), *number_columns(["Examples", "%", "Paper's Table A1"])),
        rows=tuple(rows),
        note=f"{NOT_THE_PAPERS} {table.general_share()}",
    )


def _mixture_row(line: MixtureLine, *cells: str) -> TableRow:
    return plain_row(line.title, *cells, summary=line.kind != "source")


def _count(number: int | None) -> str:
    return "" if number is None else integer(number)


def _signed_count(number: int | None) -> str:
    return "" if number is None else signed(integer(number))


def _ratio(share: float | None) -> str:
    return "" if share is None else two_decimals(share)


def _reason(line: MixtureLine) -> str:
    return f"{line.title}: {line.why}."
