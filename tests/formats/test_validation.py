import pytest

from med42lib.formats.validation import Rise, find_rise


@pytest.mark.parametrize(
    "losses",
    [[], [3.0], [3.0, 2.0, 1.0], [3.0, 2.0, 2.1], [3.0, 2.0, 2.5, 1.9], [2.0, 2.0, 2.0], [2.0, 2.0001, 2.01]],
    ids=str,
)
def test_a_loss_that_falls_or_wanders_or_was_higher_once_has_not_risen(losses: list[float]) -> None:
    assert find_rise(list(enumerate(losses))) is None


@pytest.mark.parametrize("losses", [[3.0, 2.0, 2.1, 2.2], [3.0, 2.0, 2.2, 2.1], [1.0, 3.0, 2.0]], ids=str)
def test_a_loss_that_is_higher_twice_in_a_row_has_risen_from_its_lowest(losses: list[float]) -> None:
    curve = [(10 * number, loss) for number, loss in enumerate(losses)]
    assert find_rise(curve) == Rise(10 * losses.index(min(losses)), min(losses), losses[-1])
