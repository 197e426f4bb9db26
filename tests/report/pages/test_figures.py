from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from med42lib.report.pages.figures import NARROW_PIXELS, WIDE_PIXELS, forest_plot, loss_plot, spread_apart, thinned
from med42lib.report.provenance.models import Model
from med42lib.report.results.scores import Answers
from med42lib.report.results.table import Results, analyse
from tests.report.models import MODELS, PAIRS

BASE, FULL, LORA = MODELS


@pytest.fixture(scope="module")
def results() -> Results:
    names = np.array(["mmlu_anatomy"] * 20 + ["medqa"] * 30)
    right = {"base": np.arange(50) % 4 == 0, "full": np.arange(50) % 2 == 0, "lora": np.arange(50) % 3 == 0}
    contaminated = np.array([name == "mmlu_anatomy" for name in names])
    return analyse(Answers(tuple(map(str, range(50))), names, contaminated, right), MODELS, PAIRS, 0.95)


@pytest.mark.parametrize("width", [WIDE_PIXELS, NARROW_PIXELS])
def test_every_mark_lies_between_the_ends_of_its_interval_and_inside_the_plot(results: Results, width: int) -> None:
    plot = forest_plot(results, {"medqa": 0.25}, subset="all", width=width)
    marks = [mark for group in plot.groups for mark in group.marks]
    assert len(marks) == 9
    for mark in marks:
        assert plot.left - 0.01 <= mark.low < mark.x < mark.high <= plot.right + 0.01
        assert 0 < mark.y < plot.axis_y < plot.height


def test_a_mark_stands_at_its_value_on_the_axis(results: Results) -> None:
    plot = forest_plot(results, {}, subset="all", width=WIDE_PIXELS)
    ticks = {tick.label: tick.at for tick in plot.ticks}
    full = next(mark for mark in plot.groups[-1].marks if mark.model == FULL)
    assert full.value == "50.0"
    assert full.x == pytest.approx(ticks["50"])


def test_narrow_marks_stand_below_the_name(results: Results) -> None:
    group = forest_plot(results, {}, subset="all", width=NARROW_PIXELS).groups[0]
    assert group.label_y < group.top < group.marks[0].y


def test_a_benchmark_without_questions_in_the_subset_is_left_out(results: Results) -> None:
    plot = forest_plot(results, {}, subset="clean", width=WIDE_PIXELS)
    assert [group.label for group in plot.groups] == ["MedQA", "All benchmarks"]


def test_guessing_is_marked_where_it_is_known(results: Results) -> None:
    plot = forest_plot(results, {"medqa": 0.25}, subset="all", width=WIDE_PIXELS)
    assert [group.chance_x is not None for group in plot.groups] == [False, True, False]


def test_curves_are_averaged_down_to_the_limit() -> None:
    assert thinned([(0, 4), (1, 2), (2, 6), (3, 2)], limit=2) == [(0.5, 3), (2.5, 4)]
    assert len(thinned([(step, 1.0) for step in range(1001)], limit=300)) <= 300


def test_a_falling_loss_falls_in_the_figure() -> None:
    plot = loss_plot({FULL: [(0, 4.0), (10, 1.0)], LORA: []}, width=WIDE_PIXELS)
    assert plot is not None
    (line,) = plot.lines
    (first_x, first_y), (last_x, last_y) = (tuple(map(float, point.split(","))) for point in line.points.split())
    assert first_x < last_x
    assert first_y < last_y
    assert plot.top <= first_y
    assert last_y <= plot.bottom


def test_names_of_curves_that_end_together_are_kept_apart() -> None:
    plot = loss_plot({FULL: [(0, 4.0), (10, 1.0)], LORA: [(0, 4.0), (10, 1.01)]}, width=WIDE_PIXELS)
    assert plot is not None
    full, lora = plot.lines
    assert full.label_y - lora.label_y == pytest.approx(15)


@pytest.mark.parametrize("curve", [[(1, 2.0)], [(1, 0.0), (2, 0.0)]])
def test_a_single_step_or_a_constant_loss_can_be_drawn(curve: list[tuple[int, float]]) -> None:
    plot = loss_plot({FULL: curve}, width=NARROW_PIXELS)
    assert plot is not None
    assert "nan" not in plot.lines[0].points


def test_without_losses_there_is_no_figure() -> None:
    assert loss_plot({FULL: [], LORA: []}, width=WIDE_PIXELS) is None


@pytest.mark.parametrize(
    ("heights", "expected"),
    [
        ([0.0, 1.0, 10.0, 30.0], [-1.5, 2.5, 10.0, 30.0]),
        ([0.0, 0.0, 0.0], [-4.0, 0.0, 4.0]),
        ([0.0, 1.0, 5.0], [-2.0, 2.0, 6.0]),
        ([], []),
    ],
)
def test_names_are_moved_no_further_than_they_must(heights: list[float], expected: list[float]) -> None:
    assert spread_apart(heights, distance=4) == pytest.approx(expected)


def test_a_long_title_has_room_beside_its_marks(results: Results) -> None:
    wide = replace(results, models=(BASE, FULL, Model("a_name_that_is_very_long_indeed", "lora", 2)))
    numbers = {key: value for key, value in results.accuracies.items() if key[1] != "lora"}
    numbers |= {(g, wide.models[2].name, s): v for (g, m, s), v in results.accuracies.items() if m == "lora"}
    plain, long = (
        forest_plot(shown, {}, subset="all", width=NARROW_PIXELS)
        for shown in (results, replace(wide, accuracies=numbers))
    )
    assert plain.left < long.left < NARROW_PIXELS / 2
    assert max(len(mark.label) for mark in long.groups[0].marks) == 16


def test_the_loss_on_held_out_examples_is_drawn_on_the_same_scale() -> None:
    plot = loss_plot({FULL: [(0, 4.0), (10, 1.0)]}, validation={FULL: [(0, 5.0), (10, 1.0)], LORA: []}, width=800)
    assert plot is not None
    (line,), (held_out,) = plot.lines, plot.validation_lines
    assert line.points.split()[-1] == held_out.points.split()[-1]
    assert float(held_out.points.split()[0].split(",")[1]) < float(line.points.split()[0].split(",")[1])


def test_a_figure_is_a_file_of_its_own_that_any_program_can_draw(run: Any) -> None:
    folder = run.make_report()
    for name, mark in (("accuracy", "circle"), ("loss", "polyline")):
        text = (folder / f"{name}.svg").read_text()
        drawing = ElementTree.fromstring(text)
        assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
        assert drawing.findall(f".//{{*}}{mark}")
        assert "var(" not in text, "programs other than browsers know no variables"
