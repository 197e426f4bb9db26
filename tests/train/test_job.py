import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from torch import distributed

from med42lib.catalogue import STAGES
from med42lib.core.errors import (
    AccessError,
    DataError,
    DivergedError,
    EnvironmentProblem,
    NoProgressError,
    NoSpaceError,
    StoreUnavailable,
    TrainingProcessError,
)
from med42lib.engine.context import TrackedAs
from med42lib.engine.key import named_code
from med42lib.store.manifest import FileEntry
from med42lib.train.job import Failure, TrainingJob, reported_errors
from med42lib.train.worker.training import check_code, check_progress, run_training
from tests.train.conftest import FULL, job_of


@pytest.fixture
def job(tmp_path: Path) -> TrainingJob:
    """A job that was written, on a store in a folder."""
    made = job_of(FULL, "s3://bucket/packed", "s3://bucket/model", tmp_path / "store")
    made.write()
    return made


def test_a_job_is_read_back_by_its_address_alone(job: TrainingJob) -> None:
    assert TrainingJob.read(job.address) == job
    tracked = replace(job, tracked=TrackedAs("e", "r", "train[lora]"))
    assert TrainingJob.from_json(tracked.to_json()) == tracked


@pytest.fixture
def a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torchrun has started a training process, which has not met the others."""
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setattr("med42lib.train.worker.training.expect_answers", lambda: None)


@pytest.mark.usefixtures("a_process")
def test_processes_of_another_image_train_nothing_and_say_what_is_other(job: TrainingJob, tmp_path: Path) -> None:
    own = named_code(STAGES["train"].closure)
    gone = "med42lib.train.gone"
    others = {"python": "2.7", "torch": "1.0", "med42lib.train.loss": "a" * 64, gone: "b" * 64}
    made = replace(job, store=str(tmp_path / "other"), code=own | others)
    made.write()
    rest = json.loads(made.to_json()) | {"a_setting_of_later": 1}
    Path(made.address, "job.json").write_text(json.dumps(rest))
    with pytest.raises(SystemExit):
        run_training(made.address)
    failure = Failure.read(made.address)
    assert failure is not None
    assert (failure.kind, failure.rank, failure.is_permanent) == ("EnvironmentProblem", "3", True)
    torch = own["torch"]
    expected = f"python {own['python']} in place of 2.7, torch {torch} in place of 1.0, {gone}, med42lib.train.loss;"
    assert expected in failure.message
    assert "from a host, check out the image's commit and install with constraints.txt" in failure.message


def test_processes_of_the_same_image_and_of_a_job_by_hand_have_nothing_to_compare(
    job: TrainingJob, tmp_path: Path
) -> None:
    check_code(job.address)
    made = replace(job, store=str(tmp_path / "other"), code=named_code(STAGES["train"].closure))
    made.write()
    check_code(made.address)


def test_an_address_without_a_job_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no training job at"):
        TrainingJob.read(str(tmp_path))


def test_what_was_put_is_told_to_the_driver(job: TrainingJob) -> None:
    with pytest.raises(TrainingProcessError, match=r"training ended without .*run the same command again"):
        job.read_files()
    entries = [FileEntry("model/weights", 3, "a" * 64), FileEntry("metrics.jsonl", 1, "b" * 64, note=True)]
    job.write_files(entries)
    assert job.read_files() == tuple(entries)


def test_files_of_a_stranger_that_lead_out_of_the_output_are_refused(job: TrainingJob) -> None:
    job.write_files([FileEntry("../../secret", 3, "a" * 64)])
    with pytest.raises(DataError, match="does not stay in its folder"):
        job.read_files()


@pytest.mark.parametrize("kind", [AccessError, DivergedError, EnvironmentProblem, NoSpaceError, StoreUnavailable])
def test_errors_of_ours_reach_the_stage_unchanged(tmp_path: Path, kind: type[DivergedError]) -> None:
    Failure.of(kind("at step 3"), tmp_path).write(str(tmp_path))
    failure = Failure.read(str(tmp_path))
    assert failure is not None
    error = failure.to_error("tail")
    assert type(error) is kind
    assert str(error) == "at step 3"
    assert failure.is_permanent == (kind is not StoreUnavailable)


def test_other_errors_come_with_the_end_of_the_output(tmp_path: Path) -> None:
    error = Failure.of(ValueError("shapes differ"), tmp_path).to_error("line 1\nline 2")
    assert type(error) is TrainingProcessError
    assert "ValueError: shapes differ" in str(error)
    assert "line 1\nline 2" in str(error)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        RuntimeError('Error while serializing: I/O error: No space left on device (os error 28)"'),
    ],
    ids=["Python", "safetensors"],
)
def test_a_full_disk_is_named_whichever_library_met_it(tmp_path: Path, error: Exception) -> None:
    raised = Failure.of(error, tmp_path).to_error("")
    assert type(raised) is NoSpaceError
    assert str(tmp_path) in str(raised)


def test_float16_that_overflows_for_good_has_diverged(tmp_path: Path) -> None:
    error = Exception("Current loss scale already at minimum - cannot decrease scale anymore. Exiting run.")
    assert type(Failure.of(error, tmp_path).to_error("")) is DivergedError


def test_the_first_failure_stays(tmp_path: Path) -> None:
    for message in ("the reason", "a consequence"):
        Failure.of(DivergedError(message), tmp_path).write(str(tmp_path))
    assert Failure.read(str(tmp_path)) == Failure("DivergedError", "the reason")


@pytest.mark.parametrize(
    "consequence",
    [
        RuntimeError("[/p/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:1"),
        distributed.DistNetworkError("Connection reset by peer"),
        distributed.DistBackendError("NCCL error: remote process exited or there was a network error"),
    ],
    ids=["gloo", "store", "NCCL"],
)
def test_the_cause_counts_even_if_it_is_told_after_its_consequence(tmp_path: Path, consequence: Exception) -> None:
    Failure.of(consequence, tmp_path).write(str(tmp_path))
    alone = Failure.read(str(tmp_path))
    assert alone is not None
    assert str(consequence) in alone.message
    Failure("killed", "process 1 was killed by SIGKILL").write(str(tmp_path))
    assert Failure.read(str(tmp_path)) == Failure("killed", "process 1 was killed by SIGKILL")
    Failure.forget(str(tmp_path))
    assert Failure.read(str(tmp_path)) is None


@pytest.mark.parametrize("kind", ["DivergedError", "RuntimeError"])
def test_a_failure_on_another_machine_is_told_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    with monkeypatch.context() as there:
        there.setenv("MED42_NODE", "gpu-17")
        there.setenv("RANK", "37")
        fail_with(type(kind, (Exception,), {})("at step 3"), tmp_path)
    failure = Failure.read(str(tmp_path))
    assert failure is not None
    assert "at step 3 (process 37 on gpu-17)" in str(failure.to_error(""))


def test_a_failure_that_training_survived_is_forgotten_and_the_next_is_told(tmp_path: Path) -> None:
    for message in ("a peer went away", "a later reason"):
        Failure("killed", message).write(str(tmp_path))
        told = Failure.read(str(tmp_path))
        assert told is not None
        assert told.message == message
        Failure.forget(str(tmp_path))
    assert Failure.read(str(tmp_path)) is None


def test_a_failure_that_would_come_again_stays_for_the_driver_to_see(tmp_path: Path) -> None:
    Failure("DivergedError", "at step 3").write(str(tmp_path))
    Failure.forget(str(tmp_path))
    assert Failure.read(str(tmp_path)) == Failure("DivergedError", "at step 3")


def test_a_training_that_gets_no_further_ends_for_good_over_all_attempts_and_may_be_tried_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MED42_MAX_RESTARTS", "2")
    for _ in range(3):
        check_progress(job_of(FULL, "packed", "model", tmp_path), 500)
    job = job_of(FULL, "packed", "model", tmp_path)
    with pytest.raises(SystemExit), reported_errors(job.address, tmp_path):
        check_progress(job, 500)
    failure = Failure.read(job.address)
    assert failure is not None
    assert failure.is_permanent
    Failure.forget(job.address)
    assert Failure.read(job.address) == failure, "the driver has to see it"
    error = failure.to_error("")
    assert error.exit_code == 12
    assert "started 4 times from step 500" in str(error)
    check_progress(job_of(FULL, "packed", "model", tmp_path), 500)


def test_where_no_launcher_sets_a_limit_there_is_one(tmp_path: Path) -> None:
    for _ in range(6):
        check_progress(job_of(FULL, "packed", "model", tmp_path), 0)
    with pytest.raises(NoProgressError):
        check_progress(job_of(FULL, "packed", "model", tmp_path), 0)


def test_of_many_processes_that_fail_at_once_one_tells_why(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda n: Failure("DivergedError", f"{n}").write(str(tmp_path)), range(100)))
    assert Failure.read(str(tmp_path)) is not None
    assert [path.name for path in tmp_path.iterdir()] == ["failure.json"]


def test_without_a_failure_there_is_none(tmp_path: Path) -> None:
    assert Failure.read(str(tmp_path)) is None


def test_full_gpu_memory_comes_with_advice(tmp_path: Path) -> None:
    class OutOfMemoryError(RuntimeError): ...

    assert "gradient_checkpointing" in Failure.of(OutOfMemoryError("CUDA out of memory"), tmp_path).message


def fail_with(error: Exception, folder: Path) -> None:
    with pytest.raises(SystemExit, match="1"), reported_errors(str(folder), folder):
        raise error


@pytest.mark.parametrize(
    ("error", "kind", "shown"),
    [
        (DivergedError("at step 3"), "DivergedError", False),
        (OSError(28, "No space left on device"), "NoSpaceError", False),
        (ValueError("shapes differ"), "ValueError", True),
    ],
)
def test_each_error_is_told_in_the_log_and_only_a_bug_is_shown_with_a_traceback(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    kind: str,
    shown: bool,
) -> None:
    fail_with(error, tmp_path)
    assert len(caplog.records) == 1
    assert ("Traceback" in capsys.readouterr().err) is shown
    written = Failure.read(str(tmp_path))
    assert written is not None
    assert written.kind == kind


def test_the_consequence_of_another_processs_error_is_shown_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Failure("DivergedError", "at step 3").write(str(tmp_path))
    fail_with(RuntimeError("connection closed by peer"), tmp_path)
    assert "Traceback" not in capsys.readouterr().err
    assert Failure.read(str(tmp_path)) == Failure("DivergedError", "at step 3")


def test_an_error_while_the_store_is_away_is_told_in_the_log_and_hides_behind_no_other(
    asks_once: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    for error in (DivergedError("at step 3"), RuntimeError("connection closed by peer")):
        with pytest.raises(SystemExit, match="1"), reported_errors("s3://bucket/job", tmp_path):
            raise error
    assert list(
        dict.fromkeys(record.message.partition(". That could not be left")[0] for record in caplog.records)
    ) == [
        "at step 3",
        "RuntimeError: connection closed by peer",
    ]
    assert "EndpointConnectionError" not in capsys.readouterr().err
