import csv

import pytest

from med42lib.assemble.documents.table_a1 import mixture_csv, mixture_markdown
from tests.hostile import HTML, MARKDOWN, UNSEEN, unseen_in
from tests.markdown_page import OF_A_STRANGER, kinds, num_cells, num_headings
from tests.mixture_table_rows import demo_rows, paper_rows

SHORT = {"sampled": 179_000, "kept": 179_000, "short_by": 1462, "left_over": 0}


def cells(markdown: str, title: str) -> list[str]:
    """The cells of the first table line that begins with a title."""
    line = next(line for line in markdown.splitlines() if line.startswith(f"| {title} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_papers_mixture_stands_beside_the_papers_numbers() -> None:
    text = mixture_markdown(paper_rows(medmcqa=SHORT))
    assert "705,251 examples from 17 sources." in text
    reason = "the source has 179,000 usable rows, 1,462 fewer than its target"
    assert cells(text, "MedMCQA") == ["MedMCQA", "180,462", "25.54", "179,000", "25.38", "−1,462", "−0.15", reason]
    assert cells(text, "**General domain**")[1:5] == ["295,649", "41.83", "295,649", "41.92"]
    assert "41.92 %, +0.09 points from the 41.83 % of the paper's Table A1 (its text says 40 %)" in text
    assert "- MMLU (13 subjects), 244: unexplained" in text


def test_another_mixture_has_the_papers_counts_for_orientation_alone() -> None:
    text = mixture_markdown(demo_rows())
    assert cells(text, "HeadQA (English)") == ["HeadQA (English)", "1,200", "41.38", "the target: 1,200", "2,657"]
    assert "This is not the paper's mixture" in text
    assert "Difference" not in text
    assert "How the paper" not in text


def test_fields_with_text_that_is_not_used_are_named_by_source() -> None:
    rows = [row | {"unread_fields": {"topic_name": 3, "a|b": 1}} for row in demo_rows()[:1]]
    text = mixture_markdown([*rows, *demo_rows()[1:]])
    listed = text.partition("## Fields with text that is not used\n\n")[2].partition("\n\n")[0]
    assert listed == "- HeadQA (English): topic\\_name, a\\|b"
    assert "not used" not in mixture_markdown(demo_rows())


def test_what_became_of_the_records_is_counted_without_columns_of_zeros() -> None:
    text = mixture_markdown(demo_rows())
    assert "| Source | Read | Rejected | Excluded | Usable | Target | Taken |" in text
    assert cells(text, "**Total**")[1:] == ["2,900", "100.00", "", ""]
    assert "| **Total** | 2,936 | 9 | 12 | 2,915 | 2,900 | 2,900 |" in text
    first, second, third = (line for line in text.splitlines() if line.startswith("- HeadQA"))
    assert first == "- HeadQA (English): 2 rejected, it has two answers"
    assert second == "- HeadQA (English): 1 rejected, it has no answer"
    assert third == "- HeadQA (English): 4 excluded, it is a test question"


def test_near_duplicates_are_said_to_be_sought_or_not() -> None:
    assert "Near-duplicates were not looked for." in mixture_markdown(demo_rows())
    assert "\n\n7 pairs.\n" in mixture_markdown(demo_rows(), "7 pairs.")


def test_a_bar_in_a_title_does_not_break_the_table() -> None:
    rows = demo_rows()
    rows[0]["title"] = "A | B\nC"
    assert "| A \\| B C | 1,200 |" in mixture_markdown(rows)


def test_the_csv_has_a_line_per_source_domain_and_total() -> None:
    rows = list(csv.DictReader(mixture_csv(paper_rows(medmcqa=SHORT)).splitlines()))
    assert [row["kind"] for row in rows].count("source") == 17
    first, total = rows[0], rows[-1]
    assert (first["name"], first["paper_examples"], first["examples"]) == ("medmcqa", "180462", "179000")
    assert (first["difference_examples"], first["difference_points"]) == ("-1462", "-0.15")
    assert (total["kind"], total["paper_percent"], total["difference_examples"]) == ("total", "100.00", "-1462")


def test_the_csv_of_another_mixture_compares_nothing() -> None:
    rows = list(csv.DictReader(mixture_csv(demo_rows()).splitlines()))
    assert {row["difference_examples"] + row["difference_points"] for row in rows} == {""}
    assert [row["paper_examples"] for row in rows] == ["30106", "2657", "14553", ""]


@pytest.mark.parametrize("text", [*HTML, *MARKDOWN, UNSEEN])
def test_a_text_of_a_source_is_text_in_the_mixture(text: str) -> None:
    def page(value: str) -> str:
        rows = paper_rows(medmcqa={**SHORT, "title": value, "num_paper_origin": value})
        rows[0]["rejected_by_reason"] = {value: 3}
        return mixture_markdown(rows)

    hostile, plain = page(text), page("x")
    assert not kinds(hostile) & OF_A_STRANGER
    assert kinds(hostile) <= kinds(plain) | {"text_special"}
    assert (num_cells(hostile), num_headings(hostile)) == (num_cells(plain), num_headings(plain))
    assert not unseen_in(hostile)


def test_a_text_of_a_source_is_one_cell_of_the_csv() -> None:
    rows = paper_rows(medmcqa={**SHORT, "title": f"a\nb,{UNSEEN}"})
    text = mixture_csv(rows)
    assert not unseen_in(text)
    assert len(text.splitlines()) == len(mixture_csv(paper_rows()).splitlines())
