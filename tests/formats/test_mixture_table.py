import json
from pathlib import Path

import pytest

from med42lib.core.errors import DataError
from med42lib.formats.mixture_table import (
    MIXTURE_FILE,
    NUM_PAPER,
    TABLE_A1,
    TOTAL_PAPER,
    MixtureLine,
    mixture_table,
    read_mixture,
    signed,
    two_decimals,
)
from med42lib.store.artifacts import Source
from tests.mixture_table_rows import demo_rows, mixture_row, paper_rows

SHORT = {"sampled": 179_000, "kept": 179_000, "short_by": 1462, "left_over": 0}


def line_of(lines: tuple[MixtureLine, ...], name: str) -> MixtureLine:
    return next(line for line in lines if line.name == name)


def test_the_sources_add_up_to_the_papers_totals() -> None:
    rows = paper_rows()
    assert len(rows) == 17
    for domain, total in NUM_PAPER.items():
        assert sum(row["num_paper"] for row in rows if row["domain"] == domain) == total
    assert TOTAL_PAPER == 706_713


def test_the_rows_are_read_if_there_are_any_and_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "examples.parquet").touch()
    assert read_mixture(Source(str(tmp_path))) == []
    (tmp_path / MIXTURE_FILE).write_text(json.dumps(demo_rows()))
    assert read_mixture(Source(str(tmp_path))) == demo_rows()
    (tmp_path / MIXTURE_FILE).write_text("{")
    with pytest.raises(DataError, match=r"mixture\.json is broken .*; run assemble again"):
        read_mixture(Source(str(tmp_path)))


def test_lines_stand_in_the_papers_order_with_each_domains_total() -> None:
    names = [line.name for line in mixture_table(paper_rows()).lines]
    assert names == [*TABLE_A1[:14], "medical", *TABLE_A1[14:], "general", "total"]


def test_ratios_are_those_that_the_paper_prints() -> None:
    lines = mixture_table(paper_rows()).lines
    printed = {"medmcqa": "25.54", "pubmedqa": "0.07", "mmlu": "0.03", "niv2": "1.62", "medical": "58.17"}
    assert {name: two_decimals(line_of(lines, name).paper_share or 0) for name in printed} == printed


def test_what_differs_says_by_how_much_and_why() -> None:
    table = mixture_table(paper_rows(medmcqa=SHORT, mmlu={"sampled": 488, "repeated": 244, "target": 488}))
    medmcqa, mmlu, headqa = (line_of(table.lines, name) for name in ("medmcqa", "mmlu", "headqa"))
    assert (medmcqa.difference, two_decimals(medmcqa.points or 0)) == (-1462, "-0.16")
    assert medmcqa.why == "the source has 179,000 usable rows, 1,462 fewer than its target"
    assert mmlu.why == "the target: 488; 244 of them repeats"
    assert (headqa.difference, headqa.why) == (0, "")
    assert line_of(table.lines, "total").difference == -1462 + 244


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {},
            "General domain: 295,649 of 706,713 examples, 41.83 %, as in the 41.83 % of the paper's Table A1 "
            "(its text says 40 %).",
        ),
        (
            {"openorca_cot": {"sampled": 0}},
            "General domain: 221,759 of 632,823 examples, 35.04 %, −6.79 points from the 41.83 % of the paper's "
            "Table A1 (its text says 40 %).",
        ),
    ],
    ids=["the paper's", "without one source's examples"],
)
def test_the_general_share_is_checked_against_table_a1(changes: dict[str, dict[str, int]], sentence: str) -> None:
    assert mixture_table(paper_rows(**changes)).general_share() == sentence


def test_another_mixture_is_not_compared() -> None:
    table = mixture_table(demo_rows())
    assert not table.is_papers
    assert [line.name for line in table.lines] == ["medical_flashcards", "headqa", "medquad", "total"]
    assert table.lines[-1].paper is None
    assert [line.paper for line in table.sources] == [30_106, 2657, 14_553]
    assert table.general_share() == (
        "General domain: 0 of 2,900 examples, 0.00 %. In the paper's mixture it is 41.83 % by its Table A1; its text "
        "says 40 %."
    )


def test_two_domains_have_their_totals_and_a_source_of_ones_own_no_paper() -> None:
    rows = [mixture_row("headqa", 30), mixture_row("openorca_t0", 10) | {"source": "mine", "num_paper": 0}]
    table = mixture_table(rows)
    assert [(line.name, line.examples) for line in table.lines] == [
        *(("headqa", 30), ("medical", 30), ("mine", 10), ("general", 10), ("total", 40))
    ]
    assert line_of(table.lines, "mine").paper is None
    assert line_of(table.lines, "general").share == 0.25


def test_shares_of_no_examples_are_zero() -> None:
    table = mixture_table([mixture_row("headqa", 0, target="all")])
    assert table.lines[0].share == 0
    assert table.lines[0].why == "all usable rows"


@pytest.mark.parametrize(
    ("number", "written"), [("1.20", "+1.20"), ("-1,462", "−1,462"), ("0.00", "0.00"), ("-0.00", "0.00"), ("0", "0")]
)
def test_numbers_get_a_sign_unless_they_are_zero(number: str, written: str) -> None:
    assert signed(number) == written
