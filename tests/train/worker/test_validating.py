import logging
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import distributed

from med42lib.formats.packed import PackedDataset
from med42lib.store.artifacts import Target
from med42lib.store.manifest import METRICS_FILE, describe_folder
from med42lib.train.config import TrainConfig
from med42lib.train.worker import validating as module
from med42lib.train.worker.validating import Validating
from tests.train.conftest import FULL, job_of, output_of, read_metric, train_alone


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_measuring_it_after_every_epoch_changes_no_bit_of_what_is_trained(
    base_model: Path, packed_data: Path, packed_with_validation: Path, tmp_path: Path, method: str
) -> None:
    config = FULL.model_copy(update={"method": method})
    config = config.model_copy(update={"lora": config.lora.model_copy(update={"dropout": 0.1})})
    folders = {"without": packed_data, "with": packed_with_validation}
    jobs = {key: job_of(config, packed, base_model, tmp_path / "store", key=key) for key, packed in folders.items()}
    for job in jobs.values():
        job.write()
    train_alone(list(jobs.values()), tmp_path)
    without, measured = (output_of(jobs[key]) for key in ("without", "with"))
    assert read_metric(measured, "loss") == read_metric(without, "loss")
    files, others = ({e.path: e.sha256 for e in describe_folder(path)} for path in (without, measured))
    assert {name for name in files if files[name] != others[name]} == {METRICS_FILE}
    losses = read_metric(measured, "validation_loss")
    assert len(losses) == 3  # before the first step, and after each of two epochs
    assert losses[0] == pytest.approx(4.16, abs=0.2)  # an untrained model: about the logarithm of 64
    assert len(set(losses)) == 3
    assert read_metric(without, "validation_loss") == []


@pytest.fixture
def _one_process() -> Iterator[None]:
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def measured(
    data: Path, folder: Path, config: TrainConfig, losses: list[float], monkeypatch: pytest.MonkeyPatch
) -> list[float]:
    """Have a training with these losses measured after every step it has; returns what is recorded then."""
    left = iter(losses)
    monkeypatch.setattr(module, "validation_loss", lambda *_: next(left))
    target = Target(folder)
    validating = Validating(None, PackedDataset(data), config, target)
    for step in range(len(losses)):
        validating.after(step)
    return [point.value for point in target.metrics.points() if point.key == "validation_loss"]


@pytest.mark.usefixtures("_one_process")
def test_a_loss_that_rises_is_told_once_while_training_goes_on(
    packed_with_validation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = FULL.model_copy(update={"validation_steps": 1})
    losses = [3.0, 2.0, 2.1, 2.2, 2.3]
    with caplog.at_level(logging.WARNING, logger="med42.train"):
        assert measured(packed_with_validation, tmp_path, config, losses, monkeypatch) == losses
    [warning] = caplog.messages
    assert "the validation loss rises: 2.200 now, 2.000 after step 1" in warning


@pytest.mark.usefixtures("_one_process")
def test_a_step_that_an_attempt_before_has_measured_is_not_recorded_again(
    packed_with_validation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = FULL.model_copy(update={"validation_steps": 1})
    measured(packed_with_validation, tmp_path, config, [3.0, 2.0], monkeypatch)
    assert measured(packed_with_validation, tmp_path, config, [9.0, 9.0, 1.0], monkeypatch) == [3.0, 2.0, 1.0]


@pytest.mark.usefixtures("_one_process")
@pytest.mark.parametrize(
    ("losses", "best"),
    [([1.0], None), ([1.0, 3.0], 1), ([4.0, 3.0, 2.0, 2.0, 2.5], 2), ([4.0, math.nan, 3.0, math.nan], 2)],
)
def test_the_best_step_is_the_first_of_the_lowest_loss_and_never_the_base(
    packed_with_validation: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    losses: list[float],
    best: int | None,
) -> None:
    config = FULL.model_copy(update={"validation_steps": 1})
    measured(packed_with_validation, tmp_path, config, losses, monkeypatch)
    again = Validating(None, PackedDataset(packed_with_validation), config, Target(tmp_path))
    assert again.best_step == best, "as an attempt that goes on knows from the metrics"


@pytest.mark.usefixtures("_one_process")
def test_where_nothing_is_held_out_nothing_is_measured(
    packed_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert measured(packed_data, tmp_path, FULL, [3.0, 2.0], monkeypatch) == []
