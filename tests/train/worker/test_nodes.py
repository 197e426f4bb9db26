"""Several nodes that share nothing but addresses: processes with the environment of Kubernetes' training operator."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from med42lib.store.backends.s3 import make_client
from med42lib.train.job import Failure, TrainingJob
from tests.conftest import REPOSITORY
from tests.processes import wait_for
from tests.s3_server import free_ports
from tests.train.conftest import FULL, job_of
from tests.train.launchers.local_operator import injected

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def inputs(bucket: str, base_model: Path, packed_data: Path) -> tuple[str, str]:
    """The packed data and the base model in a bucket."""
    for name, folder in (("packed", packed_data), ("base", base_model)):
        for path in folder.rglob("*"):
            if path.is_file():
                make_client().upload_file(str(path), bucket, f"{name}/{path.relative_to(folder)}")
    return f"s3://{bucket}/packed", f"s3://{bucket}/base"


def train_on(
    nodes: int,
    processes_per_node: int,
    job: TrainingJob,
    folder: Path,
    *,
    meanwhile: Callable[["list[subprocess.Popen[bytes]]"], None] = lambda pods: None,
    exit_code: int = 0,
) -> None:
    """Run a job as the operator's pods would: each with its own disk, and the variables that it injects."""
    job.write()
    [port] = free_ports(1)
    with ExitStack() as stack:
        pods = []
        for rank in range(nodes):
            disk = folder / f"{job.attempt}-{rank}"
            disk.mkdir()
            own = {"MED42_SCRATCH": str(disk), "TMPDIR": str(disk), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
            variables = injected(rank, nodes, processes_per_node, port)
            environment = {**os.environ, **variables, **own, "PYTHONPATH": str(REPOSITORY)}
            log = stack.enter_context((disk / "log").open("wb"))
            command = [sys.executable, "-m", "med42lib.train.worker", "--job", job.address]
            pods.append(subprocess.Popen(command, env=environment, cwd=disk, stdout=log, stderr=log))
        meanwhile(pods)
        codes = [pod.wait(timeout=300) for pod in pods]
    logs = "\n".join(path.read_text() for path in folder.glob(f"{job.attempt}-*/log"))
    assert codes == [exit_code] * nodes, logs
    assert [path.name for path in folder.glob(f"{job.attempt}-*/*/*")] == [], "nothing is left on the disks"


@pytest.mark.parametrize("nodes", [2, 4])
def test_nodes_train_what_one_node_with_as_many_processes_trains(
    nodes: int, bucket: str, inputs: tuple[str, str], tmp_path: Path
) -> None:
    spread, together = (job_of(FULL, *inputs, f"s3://{bucket}/runs") for _ in range(2))
    train_on(nodes, 1, spread, tmp_path)
    train_on(1, nodes, together, tmp_path)
    results = [{e.path: e.sha256 for e in job.read_files() if not e.note} for job in (spread, together)]
    assert results[0] == results[1]
    assert "model/model.safetensors" in results[0]


def test_when_one_node_is_evicted_all_save_after_the_same_step_and_ask_for_a_retry(
    bucket: str, inputs: tuple[str, str], tmp_path: Path
) -> None:
    long = FULL.model_copy(update={"epochs": 60})
    job = job_of(long, *inputs, f"s3://{bucket}/runs")

    def evict(pods: "list[subprocess.Popen[bytes]]") -> None:
        wait_for(lambda: bool(list(tmp_path.glob(f"{job.attempt}-0/*/*/out/metrics.jsonl"))), seconds=200)
        pods[1].terminate()

    train_on(2, 1, job, tmp_path, meanwhile=evict, exit_code=143)
    failure, saved = Failure.read(job.address), job.checkpoints.newest()
    assert failure is not None
    assert saved is not None
    assert 0 < saved.step < 180
    assert f"it did after step {saved.step} of 180, and saved its state" in failure.message


def test_the_first_failure_of_any_node_is_told(bucket: str, inputs: tuple[str, str], tmp_path: Path) -> None:
    packed, _ = inputs
    job = job_of(FULL, packed, f"s3://{bucket}/nothing", f"s3://{bucket}/runs")
    with pytest.raises(AssertionError):
        train_on(2, 1, job, tmp_path)
    failure = Failure.read(job.address)
    assert failure is not None
    assert failure.kind == "DataError"
    assert "nothing holds no files" in failure.message
