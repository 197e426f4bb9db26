from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from med42lib.core.errors import DataError
from med42lib.train.worker.fragments import Layout, TrainedState
from tests.train.worker.stand_in_engine import StandInEngine

SHAPES = {"first": (3, 5), "second": (7, 2), "norm": (4,), "bias": (1,)}


def engines(num_processes: int, *, value: float) -> list[StandInEngine]:
    """Make the engines of all processes of a training, whose weights all begin as one value."""
    parameters = {name: torch.full(shape, value) for name, shape in SHAPES.items()}
    return [
        StandInEngine(
            {name: tensor.clone() for name, tensor in parameters.items()}, rank=rank, num_processes=num_processes
        )
        for rank in range(num_processes)
    ]


def saved(processes: list[StandInEngine], folder: Path) -> tuple[Layout, dict[str, object]]:
    """Write each process's fragments into a file of its own; gives the layout, and the numbers."""
    every = [TrainedState(engine) for engine in processes]
    for rank, state in enumerate(every):
        save_file(state.copy(), folder / f"{rank}")
    return {f"{rank}": state.extents for rank, state in enumerate(every)}, every[0].numbers()


def load(processes: list[StandInEngine], folder: Path, layout: Layout, numbers: dict[str, object]) -> None:
    for engine in processes:
        state = TrainedState(engine)
        for name in state.files_needed(layout):
            state.read(folder / name, layout[name])
        state.load(numbers)


def whole(processes: list[StandInEngine]) -> dict[str, Tensor]:
    """Put the fragments of all processes together."""
    found = {
        f"{part}/{name}": torch.full(shape, torch.nan).view(-1)
        for name, shape in SHAPES.items()
        for part in ("weight", "exp_avg", "exp_avg_sq")
    }
    for engine in processes:
        state = TrainedState(engine)
        for name, piece in state.copy().items():
            start, end = state.extents[name.partition("/")[2]]
            found[name][start:end] = piece
    return found


@given(before=st.integers(1, 6), now=st.integers(1, 6))
def test_what_any_number_of_processes_saved_any_other_number_reads_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, before: int, now: int
) -> None:
    folder = tmp_path_factory.mktemp("saved")
    training, resumed = engines(before, value=1.0), engines(now, value=2.0)
    for engine in training:
        engine.step()
    load(resumed, folder, *saved(training, folder))
    was, found = whole(training), whole(resumed)
    assert all(torch.equal(was[name], found[name]) for name in was)
    assert [TrainedState(engine).numbers()["step"] for engine in resumed] == now * [1]


def test_as_many_processes_go_on_with_the_same_bits_in_the_model_too(tmp_path: Path) -> None:
    training, resumed = engines(3, value=1.0), engines(3, value=2.0)
    for engine in training:
        engine.step()
    load(resumed, tmp_path, *saved(training, tmp_path))
    for engine in (*training, *resumed):
        engine.step()
    was, found = whole(training), whole(resumed)
    assert all(torch.equal(was[name], found[name]) for name in was)
    for before, now in zip(training, resumed, strict=True):
        for name, (start, end) in TrainedState(before).extents.items():
            assert torch.equal(before.module[name].view(-1)[start:end], now.module[name].view(-1)[start:end])


def test_a_process_asks_only_for_the_files_that_hold_its_fragments(tmp_path: Path) -> None:
    layout, _ = saved(engines(2, value=1.0), tmp_path)
    needed = [TrainedState(engine).files_needed(layout) for engine in engines(2, value=1.0)]
    assert needed == [["0"], ["1"]]


def test_a_copy_is_not_changed_by_the_training_that_goes_on() -> None:
    [engine] = engines(1, value=1.0)
    copy = TrainedState(engine).copy()
    engine.step()
    assert all(
        torch.equal(copy[f"weight/{name}"], torch.ones(torch.Size(shape).numel())) for name, shape in SHAPES.items()
    )


def test_the_loss_scale_is_a_part_of_the_state(tmp_path: Path) -> None:
    training, resumed = engines(1, value=1.0), engines(2, value=1.0)
    training[0].optimizer.loss_scaler.cur_scale = 4096.0
    load(resumed, tmp_path, *saved(training, tmp_path))
    assert [engine.optimizer.loss_scaler.cur_scale for engine in resumed] == [4096.0, 4096.0]


@pytest.mark.parametrize("change", ["lost", "doubled"])
def test_a_state_that_lacks_a_piece_or_has_it_twice_is_refused(tmp_path: Path, change: str) -> None:
    layout = dict(saved(engines(2, value=1.0), tmp_path)[0])
    layout = {"0": layout["0"]} if change == "lost" else {**layout, "2": layout["1"]}
    with pytest.raises(DataError, match=r"does not hold all of \w+, or some of it twice"):
        TrainedState(engines(1, value=1.0)[0]).files_needed(layout)
