"""The report's claims in made-up runs whose truth is known; `make bench-statistics` draws more of the same."""

import numpy as np
import pytest

from med42lib.report.results.leaks import leaked_gain
from med42lib.report.results.scores import Answers
from tests.conftest import REPOSITORY
from tests.report.simulations import CONFIDENCE, SIMULATIONS, Simulation, monte_carlo_error


@pytest.mark.parametrize("simulation", [s for s in SIMULATIONS if s.in_tests], ids=lambda s: s.name)
def test_a_claim_is_made_as_often_as_it_is_right_within_three_monte_carlo_errors(simulation: Simulation) -> None:
    found = simulation.rate(simulation.draws)
    middle = (simulation.lowest + simulation.highest) / 2
    error = 3 * monte_carlo_error(max(middle, 0.02), simulation.draws)
    assert simulation.lowest - error <= found <= simulation.highest + error


def test_the_readme_has_a_row_for_each_with_the_rates_that_are_right() -> None:
    text = (REPOSITORY / "med42lib/report/README.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text[text.index("| claimed |") :].splitlines()[2:]]
    right = [f"{100 * s.lowest:.3g} to {100 * s.highest:.3g} %" for s in SIMULATIONS]
    assert [(row[0], row[-1]) for row in rows] == [(s.name, r) for s, r in zip(SIMULATIONS, right, strict=True)]


def test_leaks_of_which_no_benchmark_changes_by_itself_add_nothing() -> None:
    # 2,700 items of HeadQA all gain 16 points, 4,000 of MedMCQA 3; 200 of HeadQA leaked.
    sizes = (2500, 200, 4000)
    gains = np.concatenate([np.arange(n) < n * share for n, share in zip(sizes, (0.16, 0.16, 0.03), strict=True)])
    answers = Answers(
        item_ids=tuple(map(str, range(sum(sizes)))),
        benchmark=np.repeat(["headqa", "medmcqa"], [2700, 4000]),
        contaminated=np.repeat([False, True, False], sizes),
        correct={"base": np.zeros(len(gains), dtype=bool), "full": gains},
    )
    found = leaked_gain(answers, "full", "base", confidence=CONFIDENCE)
    assert found is not None
    assert (found.leaked, found.others) == pytest.approx((0.16, 0.16))
    assert found.added.value == pytest.approx(0.0, abs=1e-12)
    assert found.p_points == pytest.approx(1.0)
