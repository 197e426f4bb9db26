import re

from med42lib.commands.curve import curve_page


def test_a_curve_is_drawn_from_its_first_step_to_its_last_from_high_to_low() -> None:
    page = curve_page("loss", [(1, 4.0), (2, 3.0), (5, 2.0)])
    [points] = re.findall(r'points="([^"]+)"', page)
    x, y = zip(*(map(float, point.split(",")) for point in points.split(" ")), strict=True)
    assert list(x) == sorted(x)
    assert list(y) == sorted(y), "down the page is a lower loss"
    assert "4 at first, 2 at last" in page


def test_of_a_long_training_the_page_stays_small_and_has_the_last_step() -> None:
    page = curve_page("loss", [(step, 1 / step) for step in range(1, 200_001)])
    assert len(page) < 40_000
    assert "step 200,000" in page


def test_what_has_no_course_is_a_page_all_the_same() -> None:
    assert "no steps" in curve_page("loss", [])
    assert "<polyline" in curve_page("loss", [(1, 2.0)])
    assert "&lt;b&gt;" in curve_page("<b>", [(1, 2.0)])


def test_the_course_on_held_out_data_is_drawn_on_the_same_scale() -> None:
    page = curve_page("loss", [(1, 4.0), (2, 3.0), (5, 2.0)], [(0, 5.0), (5, 3.0)])
    loss, validation = (points.split(" ") for points in re.findall(r'points="([^"]+)"', page))
    assert loss[-1].split(",")[0] == validation[-1].split(",")[0]
    assert float(loss[-1].split(",")[1]) > float(validation[-1].split(",")[1]), "down the page is a lower loss"
    assert "held out of training: 5 at first, 3 at the lowest, 3 at last" in page
