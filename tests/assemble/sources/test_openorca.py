import pytest

from med42lib.assemble.source import load_source

PAPER = {"openorca_t0": (110_905, 112_500), "openorca_flan": (110_854, 112_500), "openorca_cot": (73_890, 75_000)}


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_counts_are_a_draw_less_one_and_a_half_per_cent(name: str) -> None:
    source, (count, drawn) = load_source(name), PAPER[name]
    assert (source.num_paper, source.domain) == (count, "general")
    assert f"{drawn:,}" in source.num_paper_origin
    assert count / drawn == pytest.approx(0.985, abs=0.001)
