r"""The tables in LaTeX, for a paper: each a `table` of its own with a label, in the style of booktabs.

Wants `\usepackage{booktabs,longtable}`. Characters that pdfTeX lacks are written as its own commands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from med42lib.core.printable import one_line
from med42lib.report.pages.tables import Cell, Table, TableRow

_HEADER = "% \\usepackage{booktabs,longtable}, and \\input{tables} where they are to stand\n"
_COMMANDS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "\N{MINUS SIGN}": "$-$",
    "\N{NOT EQUAL TO}": r"$\neq$",
    "\N{LESS-THAN OR EQUAL TO}": r"$\leq$",
    "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$",
    "\N{ALMOST EQUAL TO}": r"$\approx$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{MIDDLE DOT}": r"$\cdot$",
    "\N{RIGHTWARDS ARROW}": r"$\rightarrow$",
    **{letter: rf"$\{name}$" for letter, name in zip("αβεχ", ("alpha", "beta", "epsilon", "chi"), strict=True)},
    **{raised: rf"\textsuperscript{{{digit}}}" for digit, raised in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    "\N{SUPERSCRIPT MINUS}": r"\textsuperscript{$-$}",
    **{lowered: rf"\textsubscript{{{digit}}}" for digit, lowered in enumerate("₀₁₂₃₄₅₆₇₈₉")},
}
_LONGEST_NAME = 60
_SPECIAL = re.compile("|".join(map(re.escape, _COMMANDS)))
_UNKNOWN = re.compile(r"[^\x20-\x7e\u00a0-\u017f\u2010-\u2026]")
"""What pdfTeX cannot be relied on to have: beyond Latin letters with accents, and signs of punctuation."""


def latex_tables(tables: Mapping[str, Table]) -> str:
    """Write tables by their names, which become their labels: `tab:accuracy`."""
    return "\n".join([_HEADER, *(_table(name, table) for name, table in tables.items())])


def escape_latex(text: str) -> str:
    """Write a text so that LaTeX sets it as it is; a character that it may lack becomes its number, `U+4E2D`."""
    known = _UNKNOWN.sub(lambda found: found[0] if found[0] in _COMMANDS else f"U+{ord(found[0]):04X}", one_line(text))
    return _SPECIAL.sub(lambda found: _COMMANDS[found[0]], known)


def _table(name: str, table: Table) -> str:
    flush = "".join(_column(table, number) for number in range(len(table.columns)))
    lines = [
        rf"\begin{{longtable}}{{{flush}}}",
        rf"\caption{{{escape_latex(table.caption)}}}\label{{tab:{name}}}\\",
        r"\toprule",
        *_heading(table),
        r"\midrule\endhead",
        *(_row(row) for row in table.rows),
        r"\bottomrule",
        r"\end{longtable}",
    ]
    note = rf"\noindent{{\footnotesize {escape_latex(table.note)}\par}}"
    return "\n".join([*lines, *([note] if table.note else []), ""])


def _column(table: Table, number: int) -> str:
    """Set numbers flush right and names flush left; what is longer than a name is broken into lines."""
    if table.columns[number].numeric:
        return "r"
    cells = [row.cells[number] for row in table.rows if len(row.cells) > number]
    is_long = any(len(cell.text) + len(cell.small) > _LONGEST_NAME for cell in cells)
    return r"p{0.45\linewidth}" if is_long else "l"


def _heading(table: Table) -> Iterator[str]:
    if groups := table.column_groups:
        yield " & ".join(rf"\multicolumn{{{span}}}{{c}}{{{escape_latex(title)}}}" for title, span in groups) + r" \\"
    yield " & ".join(escape_latex(column.title) for column in table.columns) + r" \\"


def _row(row: TableRow) -> str:
    rule = "\\midrule\n" if row.summary else ""
    return rule + " & ".join(map(_cell, row.cells)) + r" \\"


def _cell(cell: Cell) -> str:
    text = escape_latex(cell.text)
    shown = rf"\textbf{{{text}}}" if cell.strong else text
    return rf"{shown} {{\scriptsize {escape_latex(cell.small)}}}" if cell.small else shown
