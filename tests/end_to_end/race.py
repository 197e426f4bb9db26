"""Several runs at the same second on one store and one fresh MLflow database, again and again.

    python -m tests.end_to_end.race ROUNDS            in a folder
    python -m tests.end_to_end.race ROUNDS --s3       on a real S3 server started for it
    ... --kill                                        one of the two is killed at a random moment
    ... --late                                        a third starts at a random moment
    ... --untrained                                   without fine-tunes: nine stages in half the time

Every run that is not killed has to end well; all of them, and one more afterwards, have to find the same outputs.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from med42lib.store.backends.s3 import make_client
from tests.end_to_end.conftest import MED42, SMOKE, outputs
from tests.s3_server import s3_server

NUM_STAGES = {False: 13, True: 9}
UNTRAINED = ("train={}", "package_model.candidate=base")


def start(store: str, home: Path, number: int, *, sets: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """Start a run whose output goes to a file; it leads a process group of its own."""
    environment = {**os.environ, "MED42_HOME": str(home / "home"), "HF_HUB_OFFLINE": "1"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    with (home / f"run-{number}.log").open("wb") as log:
        command = [*MED42, "run", str(SMOKE), "--store", store, *(f"--set={setting}" for setting in sets)]
        return subprocess.Popen(command, stdout=log, stderr=log, cwd=home, env=environment)


def race(store: str, home: Path, *, kill: bool, late: bool, untrained: bool, seconds: float) -> list[str]:
    """Run once; returns what went wrong."""
    problems = []
    sets = UNTRAINED if untrained else ()
    runs = [start(store, home, number, sets=sets) for number in range(2)]
    moments = [(random.uniform(0.5, seconds), "kill")] * kill + [(random.uniform(0.5, seconds), "late")] * late
    began = time.monotonic()
    for moment, what in sorted(moments):
        time.sleep(max(0.0, began + moment - time.monotonic()))
        if what == "kill":
            runs[1].send_signal(signal.SIGKILL)
        else:
            runs.append(start(store, home, len(runs), sets=sets))
    for number, run in enumerate(runs):
        code = run.wait(timeout=600)
        if code != 0 and not (kill and number == 1 and code == -signal.SIGKILL):
            problems.append(f"run {number} ended with {code}: {(home / f'run-{number}.log').read_text()[-1500:]}")
    again = start(store, home, 9, sets=sets)
    if again.wait(timeout=600) != 0 or (home / "run-9.log").read_text().count("] reused ") != NUM_STAGES[untrained] - 1:
        problems.append(f"the run afterwards did not reuse everything: {(home / 'run-9.log').read_text()[-1500:]}")
    return problems + doubled(store, home, NUM_STAGES[untrained])


def doubled(store: str, home: Path, num_stages: int) -> list[str]:
    """Look for outputs, runs of MLflow's and versions that are there twice."""
    from mlflow import MlflowClient

    found = outputs(store)
    keys = {tuple(address.split("/")[-4:-2]) for address in found}
    client = MlflowClient(f"sqlite:///{home / 'home/mlflow.db'}")
    [experiment] = [e for e in client.search_experiments() if e.name != "Default"]
    names = [run.info.run_name for run in client.search_runs([experiment.experiment_id])]
    [model] = client.search_registered_models()
    versions = client.search_model_versions(f"name = '{model.name}'")
    problems = [f"{len(names)} runs in MLflow: {sorted(names)}"] if len(set(names)) != len(names) else []
    problems += [f"{len(versions)} versions of the model"] if len(versions) != 1 else []
    return problems + ([f"outputs: {len(found)}, keys: {len(keys)}"] if len(keys) != num_stages else [])


@contextmanager
def stores(on_s3: bool) -> Iterator[str]:
    """Give the address below which each round has a store of its own."""
    if not on_s3:
        with tempfile.TemporaryDirectory(prefix="race-") as folder:
            yield folder
        return
    with s3_server() as server:
        os.environ.update(server.environment)
        make_client().create_bucket(Bucket="race")
        yield "s3://race"


def main() -> int:
    """Run all rounds, and say what went wrong in which."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rounds", type=int)
    for option in ("--s3", "--kill", "--late", "--untrained"):
        parser.add_argument(option, action="store_true")
    parser.add_argument("--seconds", type=float, default=40.0, help="how late a run may be killed or started")
    options = parser.parse_args()
    failed = 0
    with stores(options.s3) as root:
        for number in range(options.rounds):
            with tempfile.TemporaryDirectory(prefix="race-home-") as home:
                store = f"{root}/{uuid.uuid4().hex[:8]}"
                began = time.monotonic()
                choices = {name: getattr(options, name) for name in ("kill", "late", "untrained", "seconds")}
                problems = race(store, Path(home), **choices)
            failed += bool(problems)
            print(
                f"round {number + 1}: {time.monotonic() - began:.0f} s", *problems or ["well"], sep="\n  ", flush=True
            )
    print(f"{options.rounds - failed} of {options.rounds} rounds ended well")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
