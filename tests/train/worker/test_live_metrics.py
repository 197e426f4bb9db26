"""A real training that is shown on a real MLflow server, which dies in the middle."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from med42lib.engine.context import TrackedAs
from med42lib.train.job import TrainingJob
from tests.conftest import REPOSITORY
from tests.mlflow_server import mlflow_server_in
from tests.processes import ALONE, wait_for
from tests.s3_server import free_ports
from tests.train.conftest import FULL, TRAIN_VARIANTS, job_of, output_of

NUM_STEPS = 60
SECRET = "hunter2-token"
PROGRAM = (
    """
import logging, time, pathlib
from med42lib.core.log import set_up_logging
from med42lib.store import metrics
from med42lib.train import loop
set_up_logging()
metrics.SECONDS_BETWEEN_WRITES, metrics.SECONDS_BETWEEN_TRIES = 0.1, 0.3
train_steps = loop.train_steps
def held_up(*arguments, **options):
    for number, result in enumerate(train_steps(*arguments, **options), start=1):
        yield result
        while number in (5, 20) and not pathlib.Path(f"go-on-after-{number}").exists():
            time.sleep(0.05)
loop.train_steps = held_up
"""
    + TRAIN_VARIANTS
)


@contextmanager
def training(job: TrainingJob, folder: Path, tracking: str) -> Iterator["subprocess.Popen[str]"]:
    """A training in one process, without torchrun, that waits after the steps 5 and 20 until it may go on."""
    job.write()
    own = {"MLFLOW_TRACKING_URI": tracking, "MLFLOW_TRACKING_TOKEN": SECRET, "PYTHONPATH": str(REPOSITORY)}
    environment = {**os.environ, **ALONE, **own, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), job.address],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def recorded(metrics: Path) -> list[tuple[str, int, float, int]]:
    rows = map(json.loads, metrics.read_text().splitlines()) if metrics.exists() else []
    return sorted((row["key"], row["step"], row["value"], row["timestamp_ms"]) for row in rows)


def shown(tracking: str, experiment: str) -> list[tuple[str, int, float, int]]:
    """What the server has of the one training there."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking)
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id], "tags.`med42.stage` = 'train'") if found else []
    points = [p for run in runs for key in run.data.metrics for p in client.get_metric_history(run.info.run_id, key)]
    return sorted((point.key, point.step, point.value, point.timestamp) for point in points)


@pytest.mark.slow
def test_a_server_that_dies_in_the_middle_of_a_training_holds_up_nothing_and_has_everything_once(
    base_model: Path, packed_data: Path, tmp_path: Path
) -> None:
    config = FULL.model_copy(update={"epochs": NUM_STEPS // 3})
    plain = job_of(config, packed_data, base_model, tmp_path / "store", key="watched")
    job = replace(plain, tracked=TrackedAs("watched", "p", "train[full]"))
    spool = tmp_path / job.attempt / "out/metrics.jsonl"
    (port,) = free_ports(1)
    (tmp_path / "server").mkdir()
    with training(job, tmp_path, f"http://127.0.0.1:{port}") as process:
        with mlflow_server_in(tmp_path / "server", port) as server:
            wait_for(lambda: [row for row in shown(server.address, "watched") if row[:2] == ("loss", 5)] != [], 60)
        (tmp_path / "go-on-after-5").touch()
        wait_for(lambda: ("loss", 20) in {row[:2] for row in recorded(spool)}, 60)
        with mlflow_server_in(tmp_path / "server", port) as server:
            wait_for(lambda: ("loss", 20) in {row[:2] for row in shown(server.address, "watched")}, 60)
            (tmp_path / "go-on-after-20").touch()
            said, _ = process.communicate(timeout=60)
            assert process.returncode == 0, said
            everything = recorded(output_of(job) / "metrics.jsonl")
            assert shown(server.address, "watched") == everything
    assert [row[1] for row in everything if row[0] == "loss"] == [*range(1, NUM_STEPS + 1)]
    assert said.count("MLflow takes no metrics for now") == 1
    assert SECRET not in said
