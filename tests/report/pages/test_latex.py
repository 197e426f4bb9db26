import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from med42lib.report.pages.latex import escape_latex, latex_tables
from med42lib.report.pages.tables import Cell, Column, Table, TableRow, plain_row
from tests.hostile import UNSEEN

TABLE = Table(
    caption="50 % & more",
    columns=(Column("Benchmark", numeric=False), Column("Paper", "LoRA"), Column("This run", "LoRA")),
    rows=(
        TableRow((Cell("MMLU"), Cell("1.5"), Cell("2.5", small="1–3", strong=True))),
        plain_row("All", "", "−3", summary=True),
    ),
    note="a_b ≠ c",
)
DOCUMENT = r"""\documentclass{article}\usepackage[utf8]{inputenc}\usepackage{booktabs,longtable}
\begin{document}\input{tables}\end{document}"""


def test_a_table_has_groups_of_columns_rules_intervals_and_a_label() -> None:
    text = latex_tables({"accuracy": TABLE})
    for part in (
        r"\caption{50 \% \& more}\label{tab:accuracy}\\",
        r"\begin{longtable}{lrr}",
        r"\multicolumn{1}{c}{} & \multicolumn{2}{c}{LoRA} \\",
        r"MMLU & 1.5 & \textbf{2.5} {\scriptsize 1–3} \\",
        "\\midrule\nAll &  & $-$3 \\\\",
        r"a\_b $\neq$ c",
    ):
        assert part in text


def test_a_column_of_sentences_is_broken_into_lines() -> None:
    table = Table("Labels", TABLE.columns[:2], (plain_row("a sentence " * 9, "1"), plain_row("short", "2")))
    assert r"\begin{longtable}{p{0.45\linewidth}r}" in latex_tables({"labels": table})


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("a^b~c|<d>", r"a\textasciicircum{}b\textasciitilde{}c\textbar{}\textless{}d\textgreater{}"),
        ("$1 #2", r"\$1 \#2"),
        ("Müller, 中", "Müller, U+4E2D"),
        ("5 × 10⁻⁵", r"5 $\times$ 10\textsuperscript{$-$}\textsuperscript{5}"),
        ("AdamW β₂, ε", r"AdamW $\beta$\textsubscript{2}, $\epsilon$"),
    ],
)
def test_a_text_is_set_as_it_is_and_commands_nothing(text: str, written: str) -> None:
    assert escape_latex(text) == written


def test_the_suites_own_words_are_set_without_code_points(run: Any) -> None:
    text = (run.make_report() / "tables.tex").read_text()
    assert r"LoRA $\alpha$" in text
    assert "U+" not in text


@pytest.mark.slow
def test_latex_sets_every_table_of_a_report(run: Any, tmp_path: Path) -> None:
    if (latex := shutil.which("pdflatex")) is None:
        pytest.skip("pdflatex is not installed")
    hostile = Table(caption="".join(UNSEEN), columns=TABLE.columns, rows=(plain_row(*"\\_^"), plain_row(*"%&#")))
    (tmp_path / "tables.tex").write_text(
        (run.make_report() / "tables.tex").read_text() + latex_tables({"grouped": TABLE, "hostile": hostile})
    )
    (tmp_path / "paper.tex").write_text(DOCUMENT)
    done = subprocess.run(
        [latex, "-halt-on-error", "-interaction=nonstopmode", "paper"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
