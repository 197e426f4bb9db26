"""The training operator on this machine: a PyTorchJob's pods are processes, with the variables that it injects.

As the real one with `restartPolicy: OnFailure`: a process that fails is started again in its place, which counts for
`backoffLimit`; the job has succeeded when the master has.
"""

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.conftest import REPOSITORY
from tests.s3_server import free_ports
from tests.train.launchers.kubernetes_api import KubernetesApi


def injected(node: int, num_nodes: int, processes_per_node: int, port: int) -> dict[str, str]:
    """Give the variables that the operator injects into a node's pod, where the first node is this machine."""
    return {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(num_nodes * processes_per_node),
        "RANK": str(node),
        "PET_MASTER_ADDR": "127.0.0.1",
        "PET_MASTER_PORT": str(port),
        "PET_NNODES": str(num_nodes),
        "PET_NODE_RANK": str(node),
        "PET_NPROC_PER_NODE": str(processes_per_node),
    }


@dataclass
class LocalOperator:
    """Runs one job; `folder` gets a disk for each pod."""

    api: KubernetesApi
    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    _readers: list[threading.Thread] = field(default_factory=list)

    def run(self, name: str) -> None:
        """Run a job's pods until it has succeeded or failed."""
        spec = self.api.jobs[name]["spec"]
        replicas = spec["pytorchReplicaSpecs"]
        roles = [f"{role.lower()}-{n}" for role in ("Master", "Worker") for n in range(self._count(replicas, role))]
        [port] = free_ports(1)
        environments = {}
        for rank, role in enumerate(roles):
            container = replicas[role.partition("-")[0].capitalize()]["template"]["spec"]["containers"][0]
            variables = injected(rank, len(roles), int(spec["nprocPerNode"]), port)
            environments[role] = self._environment(role, container, variables)
            self._start(name, role, container, environments[role])
        self.api.set_condition(name, "Running", active=len(roles))
        while name in self.api.jobs:
            for role in roles:
                code = self.processes[role].poll()
                if code == 0 and role == "master-0":
                    self._end(name, "Succeeded")
                    return
                if code:
                    self.restarts[role] = self.restarts.get(role, 0) + 1
                    if sum(self.restarts.values()) >= spec["runPolicy"]["backoffLimit"]:
                        self._end(name, "Failed")
                        return
                    container = replicas[role.partition("-")[0].capitalize()]["template"]["spec"]["containers"][0]
                    self.api.earlier_logs[f"{name}-{role}"] = "".join(self.api.logs[f"{name}-{role}"])
                    self._start(name, role, container, environments[role])
            time.sleep(0.1)
        self._kill()

    @staticmethod
    def _count(replicas: dict[str, Any], role: str) -> int:
        return int(replicas.get(role, {"replicas": 0})["replicas"])

    def _environment(self, role: str, container: dict[str, Any], variables: dict[str, str]) -> dict[str, str]:
        disk = self.folder / role
        disk.mkdir()
        given = {each["name"]: each["value"] for each in container["env"] if "value" in each}
        own = {name: value.replace("/scratch", str(disk)) for name, value in given.items()}
        here = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(REPOSITORY)}
        return {**os.environ, **own, **variables, **here}

    def _start(self, name: str, role: str, container: dict[str, Any], environment: dict[str, str]) -> None:
        python, *command = [*container["command"], *container["args"]]
        assert python == "python"
        process = subprocess.Popen(
            [sys.executable, *command],
            env=environment,
            cwd=self.folder / role,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.processes[role] = process
        self.api.put_pod(name, role, "Running", restarts=self.restarts.get(role, 0))
        reader = threading.Thread(target=self._read, args=(f"{name}-{role}", process), daemon=True)
        reader.start()
        self._readers.append(reader)

    def _read(self, pod: str, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self.api.write_log(pod, line.decode(errors="replace").rstrip("\n"))

    def _end(self, name: str, condition: str) -> None:
        self._kill()
        for reader in self._readers:
            reader.join(10)
        for role in self.processes:
            self.api.ended_logs.add(f"{name}-{role}")
        self.api.set_condition(name, condition, f"PyTorchJob {name} {condition.lower()}")

    def kill(self, role: str) -> None:
        """Kill all processes of a pod, as when its container is killed; torchrun's have sessions of their own."""
        with suppress(psutil.NoSuchProcess):
            first = psutil.Process(self.processes[role].pid)
            for process in [first, *first.children(recursive=True)]:
                process.kill()

    def _kill(self) -> None:
        for role, process in self.processes.items():
            self.kill(role)
            process.wait()
