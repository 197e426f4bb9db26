"""What watching a training costs: the driver's memory, and its requests to the Kubernetes API server in an hour.

    python tests/bench/bench_launcher.py
    python tests/bench/bench_launcher.py --seconds 600

The driver is a process of its own, as in its pod; the API server is the tests' own, over HTTP, with a job of two nodes
at work whose first pod writes a line every second. Requests are counted once the job is at work.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))

from med42lib.train.job import TrainingJob  # noqa: E402
from tests.bench.measured import measure  # noqa: E402
from tests.train.conftest import FULL, job_of  # noqa: E402
from tests.train.launchers.kubernetes_api import KubernetesApi, kubernetes_api  # noqa: E402

DRIVER = """
import sys
from med42lib.core.stop_signal import StopSignal
from med42lib.train.job import TrainingJob
from med42lib.train.launchers.launcher import open_launcher
open_launcher().run(TrainingJob.read(sys.argv[1]), StopSignal())
"""
MAX_MEGABYTES = 100


def main() -> None:
    """Measure, and print two lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120, help="how long the job is at work (default: 120)")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder, kubernetes_api() as api:
        job = job_of(FULL, "s3://none/packed", "s3://none/model", Path(folder, "store"))
        job.write()
        operator = _Operator(api, job, seconds)
        api.on_create = operator.start
        driver = measure([sys.executable, "-c", DRIVER, job.address], environment=_environment(api, Path(folder)))
    megabytes = driver.peak_bytes / 1e6
    print(f"a driver that watches a training: {megabytes:.0f} MB at its peak (wanted: below {MAX_MEGABYTES})")
    print(f"requests to the API server: {operator.num_requests * 3600 / seconds:.0f} an hour")
    sys.exit(megabytes >= MAX_MEGABYTES)


class _Operator:
    """Starts the job that was created, and ends it after a while."""

    def __init__(self, api: KubernetesApi, job: TrainingJob, seconds: float) -> None:
        self._api, self._job, self._seconds = api, job, seconds
        self.num_requests = 0

    def start(self, name: str) -> None:
        threading.Thread(target=self._play, args=(name,), daemon=True).start()

    def _play(self, name: str) -> None:
        api = self._api
        for role in ("master-0", "worker-0"):
            api.put_pod(name, role, "Running")
        api.set_condition(name, "Running", active=2)
        before, until = len(api.requests), time.monotonic() + self._seconds
        while time.monotonic() < until:
            api.write_log(f"{name}-master-0", "[train] 1,000 of 2,000 steps, 0.5 steps/s, loss 0.512")
            time.sleep(1)
        self.num_requests = len(api.requests) - before
        self._job.write_files([])
        api.ended_logs.add(f"{name}-master-0")
        api.set_condition(name, "Succeeded")


def _environment(api: KubernetesApi, folder: Path) -> dict[str, str]:
    values = yaml.safe_load((REPOSITORY / "k8s/base/job_template.yaml").read_text(encoding="utf-8"))
    (folder / "template.yaml").write_text(yaml.safe_dump({**values, "nodes": 2, "processes_per_node": 1}))
    return {
        "KUBECONFIG": str(api.write_kubeconfig(folder / "kubeconfig")),
        "MED42_LAUNCHER": "pytorchjob",
        "MED42_JOB_TEMPLATE": str(folder / "template.yaml"),
        "MED42_IMAGE": "registry.example/med42-train:1",
    }


if __name__ == "__main__":
    main()
