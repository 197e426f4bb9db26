import numpy as np
import pytest

from med42lib.decontaminate import bound as bound_module
from med42lib.decontaminate.bound import Axes


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bound_module, "PAIRS_WORTH_AXES", 0)


def units(num_rows: int, decay: float, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(num_rows, 48)) * np.exp(-np.arange(48) * decay)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("decay", [0.0, 0.05, 0.5, 2.0])
@pytest.mark.parametrize("floor", [0.0, 0.8, 0.99])
def test_a_bound_is_never_below_the_similarity(decay: float, floor: float) -> None:
    train, items = units(300, decay, 1), units(80, decay, 2)
    items[:20] = train[:20]

    bound = Axes.of(train, items).cheapest(np.full(80, floor))

    bound_BM = bound.product(train, np.empty((300, 80), np.float32))
    assert (bound_BM >= train.astype(np.float64) @ items.T.astype(np.float64) - 1e-6).all()


def test_few_axes_suffice_where_vectors_lie_along_few_and_all_are_taken_where_they_do_not() -> None:
    floor_M = np.full(80, 0.9999)
    along_few = Axes.of(units(300, 0.5, 1), units(80, 0.5, 2)).cheapest(floor_M)
    along_all = Axes.of(units(300, 0.0, 1), units(80, 0.0, 2)).cheapest(np.full(80, 0.1))

    assert along_few.axes_DK.shape[1] < 24
    assert along_all.axes_DK.shape[1] == 48
