import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from med42lib.core.errors import DataError, Med42Error
from med42lib.core.stop_signal import StopSignal
from med42lib.store.artifacts import Target
from med42lib.store.manifest import METRICS_FILE, describe_folder, files_digest
from med42lib.train.config import TrainConfig
from med42lib.train.launchers.local import LocalLauncher
from med42lib.train.loop import StepResult
from med42lib.train.worker.step_metrics import StepMetrics
from med42lib.train.worker.training import _reported, _train
from tests.conftest import REPOSITORY
from tests.processes import ALONE
from tests.train.conftest import FULL, TRAIN_VARIANTS, job_of, output_of, read_metric
from tests.train.worker.test_step_metrics import STEP

WATCHED = (
    """
from pathlib import Path
from med42lib.train.worker import training
class Sink:
    name = "a file"
    def write(self, points):
        with Path("watched").open("a") as stream:
            stream.writelines(f"{point.step} {point.value}\\n" for point in points if point.key == "loss")
training._watchers = lambda job: [Sink()]
"""
    + TRAIN_VARIANTS
)

ASKED_TO_STOP_IN_STEP = (
    """
from med42lib.train.worker import training
class AskedToStop(training.StopSignal):
    asked = 0
    def is_set(self):
        AskedToStop.asked += 1
        return AskedToStop.asked >= STEP
training.StopSignal = AskedToStop
"""
    + TRAIN_VARIANTS
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zero 1", "zero 2"])
def test_what_is_split_between_processes_changes_rounding_only(
    single_process_losses: dict[str, list[float]], name: str
) -> None:
    assert single_process_losses[name] == pytest.approx(single_process_losses["plain"], rel=1e-4)


@pytest.mark.slow
def test_where_there_is_memory_enough_what_is_left_open_is_the_fastest(
    single_process_losses: dict[str, list[float]],
) -> None:
    assert single_process_losses["auto"] == single_process_losses["zero 1"]


@pytest.mark.slow
def test_checkpointing_changes_no_bit_and_stays_out_of_the_key(
    single_process_losses: dict[str, list[float]], config: TrainConfig
) -> None:
    assert single_process_losses["checkpointing"] == single_process_losses["plain"]
    assert single_process_losses["lora checkpointing"] == single_process_losses["lora"]
    assert config.model_copy(update={"gradient_checkpointing": True}).key_json() == config.key_json()
    assert config.model_copy(update={"zero_stage": 1}).key_json() != config.key_json()


@pytest.mark.slow
def test_an_adapter_begins_as_its_base_and_learns_in_another_way(single_process_losses: dict[str, list[float]]) -> None:
    assert single_process_losses["lora"][0] == pytest.approx(single_process_losses["plain"][0], rel=1e-6)
    assert single_process_losses["lora"][1] != pytest.approx(single_process_losses["plain"][1], rel=1e-6)


@pytest.mark.slow
def test_half_precision_gives_nearly_the_same(single_process_losses: dict[str, list[float]]) -> None:
    assert single_process_losses["bfloat16"] == pytest.approx(single_process_losses["plain"], rel=2e-2)
    assert single_process_losses["bfloat16"] != single_process_losses["plain"]


@pytest.mark.slow
@pytest.mark.usefixtures("two_processes")
def test_others_wait_for_the_first_process_however_long_it_writes_and_puts(
    base_model: Path, packed_data: Path, tmp_path: Path
) -> None:
    config = FULL.model_copy(update={"max_steps": 2})
    job = job_of(config, packed_data, base_model, tmp_path / "store")
    job.write()
    LocalLauncher("tests.train.worker.slow_first").run(job, StopSignal())
    assert job.has_files()


@pytest.mark.slow
@pytest.mark.usefixtures("two_processes")
def test_a_training_that_breaks_down_when_its_output_is_whole_leaves_it_as_it_is(
    base_model: Path, packed_data: Path, tmp_path: Path
) -> None:
    config = FULL.model_copy(update={"max_steps": 2, "checkpoint_minutes": 0})
    job = job_of(config, packed_data, base_model, tmp_path / "store")
    job.write()
    with pytest.raises(Med42Error):
        LocalLauncher("tests.train.worker.dies_last").run(job, StopSignal())
    assert job.has_files()
    LocalLauncher().run(job, StopSignal())
    assert describe_folder(output_of(job), {METRICS_FILE}) == job.read_files()


@pytest.mark.slow
def test_who_watches_a_training_that_diverges_sees_the_step_that_did(
    base_model: Path, packed_data: Path, tmp_path: Path
) -> None:
    job = job_of(FULL.model_copy(update={"learning_rate": 1e30}), packed_data, base_model, tmp_path / "store")
    job.write()
    environment = {**os.environ, **ALONE, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", WATCHED, str(tmp_path), job.address]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "DivergedError: training diverged at step 2" in done.stderr
    assert [line.split()[0] for line in (tmp_path / "watched").read_text().splitlines()] == ["1", "2"]


@pytest.mark.slow
def test_a_training_that_is_asked_to_stop_in_its_last_step_ends_as_one_that_is_not(
    base_model: Path, packed_with_validation: Path, tmp_path: Path
) -> None:
    config = FULL.model_copy(update={"load_best_model_at_end": True, "validation_steps": 1, "max_steps": 2})
    outputs = []
    for step in (2, 3):
        job = job_of(config, packed_with_validation, base_model, tmp_path / f"store{step}")
        job.write()
        environment = {**os.environ, **ALONE, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(REPOSITORY)}
        (scratch := tmp_path / f"scratch{step}").mkdir()
        code = ASKED_TO_STOP_IN_STEP.replace("STEP", str(step))
        subprocess.run([sys.executable, "-c", code, str(scratch), job.address], env=environment, check=True)
        outputs.append(output_of(job))
    stopped, whole = outputs
    assert read_metric(stopped, "validation_loss") == read_metric(whole, "validation_loss")
    assert files_digest(describe_folder(stopped, {METRICS_FILE})) == files_digest(
        describe_folder(whole, {METRICS_FILE})
    )


def test_a_start_that_breaks_down_while_it_fetches_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setattr("torch.distributed.get_rank", lambda: 0)
    monkeypatch.setattr("torch.distributed.barrier", lambda group: None)
    job = job_of(FULL, tmp_path / "packed", tmp_path / "model", tmp_path / "store")
    with pytest.raises(DataError, match="packed does not exist"):
        _train(job, tmp_path / "scratch", waiting=None)  # type: ignore[arg-type]
    assert job.checkpoints.count_starts(0) == 2


def test_a_training_that_goes_on_tells_the_rate_of_the_steps_that_it_does_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def results() -> Iterator[StepResult]:
        for now[0] in (5.0, 10.0):
            yield STEP

    assert len(list(_reported(results(), Target(tmp_path), StepMetrics(1, None, None), 1100, 1200))) == 2
    assert "1.10k/1.20k [00:10<08:10, 5.00s/ steps" in capsys.readouterr().err
