import errno
import os
from pathlib import Path

import pytest

from med42lib.core.errors import DivergedError, EnvironmentProblem, NoSpaceError, TrainingProcessError
from med42lib.train.config import TrainConfig
from med42lib.train.request import Failure, Request, reported_errors


def test_a_request_survives_being_written_and_read(tmp_path: Path, config: TrainConfig) -> None:
    request = Request(config, Path("/p"), Path("/m"), "sha256:00", Path("/t"), Path("/f"))
    request.write(tmp_path / "request.json")
    assert Request.read(tmp_path / "request.json") == request


@pytest.mark.parametrize("kind", [DivergedError, EnvironmentProblem, NoSpaceError])
def test_errors_of_ours_reach_the_stage_unchanged(tmp_path: Path, kind: type[DivergedError]) -> None:
    Failure.of(kind("at step 3"), tmp_path).write(tmp_path / "failure.json")
    failure = Failure.read(tmp_path / "failure.json")
    assert failure is not None
    error = failure.to_error("tail")
    assert type(error) is kind
    assert str(error) == "at step 3"


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
        Failure.of(DivergedError(message), tmp_path).write(tmp_path / "failure.json")
    assert Failure.read(tmp_path / "failure.json") == Failure("DivergedError", "the reason")


def test_without_a_failure_there_is_none(tmp_path: Path) -> None:
    assert Failure.read(tmp_path / "failure.json") is None


def test_full_gpu_memory_comes_with_advice(tmp_path: Path) -> None:
    class OutOfMemoryError(RuntimeError): ...

    assert "gradient_checkpointing" in Failure.of(OutOfMemoryError("CUDA out of memory"), tmp_path).message


def fail_with(error: Exception, failure: Path) -> None:
    with pytest.raises(SystemExit, match="1"), reported_errors(failure, failure.parent):
        raise error


@pytest.mark.parametrize(
    ("error", "kind", "shown"),
    [
        (DivergedError("at step 3"), "DivergedError", False),
        (OSError(28, "No space left on device"), "NoSpaceError", False),
        (ValueError("shapes differ"), "ValueError", True),
    ],
)
def test_only_a_bug_is_shown_with_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: Exception, kind: str, shown: bool
) -> None:
    failure = tmp_path / "failure.json"
    fail_with(error, failure)
    assert ("Traceback" in capsys.readouterr().err) is shown
    written = Failure.read(failure)
    assert written is not None
    assert written.kind == kind


def test_the_consequence_of_another_processs_error_is_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failure = tmp_path / "failure.json"
    Failure("DivergedError", "at step 3").write(failure)
    fail_with(RuntimeError("connection closed by peer"), failure)
    assert capsys.readouterr().err == ""
    assert Failure.read(failure) == Failure("DivergedError", "at step 3")
