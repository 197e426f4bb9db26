"""The mixture beside the paper's Table A1."""

from __future__ import annotations

from med42lib.formats.mixture_table import NOT_THE_PAPERS, MixtureLine, MixtureTable, mixture_table
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
    pair = ["Examples", "%"]
    return Table(
        caption="The mixture beside the paper's Table A1",
        columns=(
            *text_columns("Source"),
            *number_columns(pair, group="Table A1"),
            *number_columns(pair, group="This mixture"),
            *number_columns(["Examples", "points"], group="Difference"),
        ),
        rows=_rows(table),
        note=" ".join([table.general_share(), *(_reason(line) for line in table.sources if line.why)]),
    )


def _orienting_table(table: MixtureTable) -> Table:
    return Table(
        caption="The mixture by source and domain",
        columns=(*text_columns("Source"), *number_columns(["Examples", "%", "Paper's Table A1"])),
        rows=_rows(table),
        note=f"{NOT_THE_PAPERS} {table.general_share()}",
    )


def _rows(table: MixtureTable) -> tuple[TableRow, ...]:
    return tuple(plain_row(line.title, *table.numbers(line), summary=line.kind != "source") for line in table.lines)


def _reason(line: MixtureLine) -> str:
    return f"{line.title}: {line.why}."
