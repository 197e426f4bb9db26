"""Kubeflow's backend as far as a component can see it: each task of a compiled pipeline is a pod.

The order, conditions, the exit handler and how outputs become inputs are `kfp.local`'s, which runs compiled YAML. Each
task becomes a pod that has what Kubeflow 2.17's has: its command inside the launcher's (`kubeflow_launcher.py`), the
executor input, the emptyDirs, the security context, the labels, and what the YAML's second document asks for. Not
there: the driver's pods, Argo, retries, the user interface.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import yaml
from kfp import components, local
from kfp.local import status, subprocess_task_handler

LAUNCHER = Path(__file__).with_name("kubeflow_launcher.py")
LAUNCHER_CONFIG_MAP = "kfp-test-launcher"
STORE_SECRET = "kfp-test-store"
BUCKET = "mlpipeline"
LOGS = "executor-logs"
"""An output that Kubeflow adds to every container's, for its log."""
WRITABLE = ("/gcs", "/s3", "/minio", "/.local", "/.cache", "/.config")
SERVICE_ACCOUNT = "pipeline-runner"
SECONDS_BETWEEN_LOOKS = 0.5


@dataclass(frozen=True, slots=True)
class TaskPod:
    """A task that ran: its name in the pipeline, its pod, how it ended, and what it printed."""

    task: str
    pod: str
    phase: str
    log: str
    seconds: float
    """From the pod's creation to its end, as a client sees it."""
    seconds_to_start: float
    """From the pod's creation to its container's start."""
    seconds_to_first_line: float
    """From its container's start to the first line that it printed."""
    outputs: Mapping[str, Any]


@dataclass
class Backend:
    """Runs compiled pipelines in one namespace."""

    core: Any
    """`kubernetes.client.CoreV1Api`."""
    namespace: str
    endpoint: str
    """The pipeline's object store, as pods and this process reach it."""
    access_key: str
    secret_key: str
    run_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    tasks: list[TaskPod] = field(default_factory=list)

    def prepare(self) -> None:
        """Put into the namespace what Kubeflow's installation puts there for the launcher."""
        launcher = {"launcher.py": LAUNCHER.read_text(encoding="utf-8")}
        self.core.create_namespaced_config_map(
            self.namespace, {"metadata": {"name": LAUNCHER_CONFIG_MAP}, "data": launcher}
        )
        keys = {"KFP_ENDPOINT": self.endpoint, "KFP_ACCESS_KEY": self.access_key, "KFP_SECRET_KEY": self.secret_key}
        self.core.create_namespaced_secret(self.namespace, {"metadata": {"name": STORE_SECRET}, "stringData": keys})
        self.core.create_namespaced_service_account(self.namespace, {"metadata": {"name": SERVICE_ACCOUNT}})
        with contextlib.suppress(self.s3.exceptions.BucketAlreadyOwnedByYou):
            self.s3.create_bucket(Bucket=BUCKET)

    @property
    def s3(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
        )

    def run(self, compiled: Path, arguments: Mapping[str, Any], root: Path) -> bool:
        """Run a compiled pipeline; says whether every task succeeded. What each did is in `tasks`."""
        platform = _platform(compiled)

        def handler(image: str, full_command: list[str], *_: Any, **options: Any) -> _PodHandler:
            return _PodHandler(self, platform, image, full_command, options.get("env_vars") or {})

        pipeline = components.load_component_from_file(str(compiled))
        with _handled_by(handler):
            local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root), workspace_root=str(root / "ws"))
            try:
                pipeline(**arguments)
            except RuntimeError:
                return False
        return True


@contextlib.contextmanager
def _handled_by(handler: Any) -> Iterator[None]:
    original = subprocess_task_handler.SubprocessTaskHandler
    subprocess_task_handler.SubprocessTaskHandler = handler
    try:
        yield
    finally:
        subprocess_task_handler.SubprocessTaskHandler = original


def _platform(compiled: Path) -> dict[str, Any]:
    """Read what the YAML says of each executor: the container of the first document, Kubernetes' part of the second."""
    first, *rest = yaml.safe_load_all(compiled.read_text(encoding="utf-8"))
    of_kubernetes = rest[0]["platforms"]["kubernetes"]["deploymentSpec"]["executors"] if rest else {}
    executors = first["deploymentSpec"]["executors"]
    return {
        name: {"container": executor["container"], "kubernetes": of_kubernetes.get(name, {})}
        for name, executor in executors.items()
    }


def _nothing_asked(command: list[str], platform: Mapping[str, Any]) -> dict[str, Any]:
    """Give the executor input of a task that does not ask for its own."""
    executors = {name: [*each["container"]["command"], *each["container"]["args"]] for name, each in platform.items()}
    name = next(name for name, its_command in executors.items() if its_command == command)
    return {"inputs": {}, "outputs": {"outputFile": f"/nowhere/{name.removeprefix('exec-')}/executor_output.json"}}


class _PodHandler:
    """Runs one task as a pod; the signature of `run` is the one that `kfp.local` calls."""

    def __init__(
        self, backend: Backend, platform: Mapping[str, Any], image: str, command: list[str], env: Mapping[str, str]
    ) -> None:
        self._backend, self._image, self._env = backend, image, env
        self._command = command
        self._place = next((i for i, part in enumerate(command) if '"outputFile"' in part), None)
        self._local = json.loads(command[self._place]) if self._place is not None else _nothing_asked(command, platform)
        self._root = Path(self._local["outputs"]["outputFile"]).parent
        self._executor = platform[f"exec-{self._root.name}"]

    def run(self) -> status.Status:
        """Create the pod, wait for its end, and fetch its outputs."""
        started = time.monotonic()
        task, pod = self._root.name, f"med42-{self._root.name}-{uuid.uuid4().hex[:8]}"
        remote = self._remote_executor_input()
        command = [json.dumps(remote) if i == self._place else part for i, part in enumerate(self._command)]
        self._backend.core.create_namespaced_pod(self._backend.namespace, self._pod(pod, remote, command))
        found = self._wait(pod)
        phase, seconds = str(found.status.phase), time.monotonic() - started
        log = self._backend.core.read_namespaced_pod_log(pod, self._backend.namespace, container="main")
        outputs = self._fetch(remote) if phase == "Succeeded" else {}
        self._backend.tasks.append(TaskPod(task, pod, phase, log, seconds, *self._beginnings(found), outputs))
        logging.getLogger("med42.cluster").info("%s %s after %.0f s", task, phase, seconds)
        return status.Status.SUCCESS if phase == "Succeeded" else status.Status.FAILURE

    def _wait(self, pod: str) -> Any:
        """Wait for the pod's end; gives it as it is then."""
        while True:
            found = self._backend.core.read_namespaced_pod(pod, self._backend.namespace)
            if found.status.phase in ("Succeeded", "Failed"):
                return found
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _beginnings(self, pod: Any) -> tuple[float, float]:
        """Say how long the pod took to start its container, and that to print a line, in seconds."""
        name, created = pod.metadata.name, pod.metadata.creation_timestamp
        log = self._backend.core.read_namespaced_pod_log(
            name, self._backend.namespace, container="main", timestamps=True
        )
        started = pod.status.container_statuses[0].state.terminated.started_at
        said = datetime.fromisoformat(f"{log[:26]}+00:00") if log else None  # the exit handler may have nothing to say
        return (started - created).total_seconds(), (said - started).total_seconds() if said else math.nan

    def _prefix(self) -> str:
        return f"{BUCKET}/v2/artifacts/med42/{self._backend.run_id}/{self._root.name}"

    def _remote_executor_input(self) -> dict[str, Any]:
        """Give the executor input the paths that it has on a cluster instead of those of this machine."""
        remote: dict[str, Any] = json.loads(json.dumps(self._local))
        outputs = remote["outputs"]
        outputs["outputFile"] = f"/minio/{self._prefix()}/executor_output.json"
        for name, found in outputs.get("parameters", {}).items():
            found["outputFile"] = f"/tmp/kfp/outputs/{name}"
        if "task_config" in (given := remote["inputs"].get("parameterValues", {})):
            given["task_config"] = self._task_config()
        artifacts = outputs.setdefault("artifacts", {})
        for name, found in artifacts.items():
            found["artifacts"][0]["uri"] = f"minio://{self._prefix()}/{name}"
        artifacts[LOGS] = {"artifacts": [{"name": LOGS, "uri": f"minio://{self._prefix()}/{LOGS}-0"}]}
        return remote

    def _task_config(self) -> dict[str, Any]:
        """Pass on what is set on the task, in a pod's words; all else is null, and resources an empty object."""
        kubernetes = self._executor["kubernetes"]
        mounts, volumes = _volumes({**kubernetes, "emptyDirMounts": []})
        environment = [{"name": name, "value": value} for name, value in self._env.items()]
        return {
            **dict.fromkeys(("affinity", "nodeSelector", "tolerations")),
            "env": [*environment, *_environment_of(kubernetes)],
            "resources": _resources(self._executor["container"]),
            "volumeMounts": mounts,
            "volumes": volumes,
        }

    def _fetch(self, remote: Mapping[str, Any]) -> dict[str, Any]:
        """Bring the outputs to where `kfp.local` looks for them."""
        written: dict[str, Any] = json.loads(self._get(f"{self._prefix()}/executor_output.json"))
        if self._place is None:
            return written
        self._root.mkdir(parents=True, exist_ok=True)
        for name, found in self._local["outputs"].get("parameters", {}).items():
            value = written["parameterValues"][name]
            Path(found["outputFile"]).write_text(value if isinstance(value, str) else json.dumps(value))
        local_output = {"parameterValues": written["parameterValues"]}
        (self._root / "executor_output.json").write_text(json.dumps(local_output), encoding="utf-8")
        return written | {"files": {name: self._artifact(name) for name in remote["outputs"]["artifacts"]}}

    def _artifact(self, name: str) -> bytes | None:
        try:
            return self._get(f"{self._prefix()}/{name}")
        except self._backend.s3.exceptions.NoSuchKey:
            return None

    def _get(self, path: str) -> bytes:
        bucket, _, key = path.partition("/")
        content: bytes = self._backend.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    def _pod(self, name: str, remote: Mapping[str, Any], command: list[str]) -> dict[str, Any]:
        kubernetes = self._executor["kubernetes"]
        metadata = kubernetes.get("podMetadata", {})
        mounts, volumes = _volumes(kubernetes)
        main = {
            "name": "main",
            "image": self._image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python", "/kfp-launcher/launcher.py"],
            "args": ["--executor_input", json.dumps(remote), "--", *command],
            "env": [*_environment(name, self._env), *_environment_of(kubernetes)],
            "envFrom": [{"secretRef": {"name": STORE_SECRET}}],
            "resources": _resources(self._executor["container"]),
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
                **_security(kubernetes.get("securityContext", {})),
            },
            "volumeMounts": [
                {"name": "kfp-launcher", "mountPath": "/kfp-launcher"},
                *({"name": f"kfp{path.replace('/', '-').replace('.', '')}", "mountPath": path} for path in WRITABLE),
                *mounts,
            ],
        }
        return {
            "metadata": {
                "name": name,
                "labels": {"pipeline/runid": self._backend.run_id, **metadata.get("labels", {})},
                "annotations": {"sidecar.istio.io/inject": "false", **metadata.get("annotations", {})},
            },
            "spec": {
                "serviceAccountName": SERVICE_ACCOUNT,
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 30,
                "containers": [main],
                "volumes": [
                    {"name": "kfp-launcher", "configMap": {"name": LAUNCHER_CONFIG_MAP}},
                    *({"name": f"kfp{path.replace('/', '-').replace('.', '')}", "emptyDir": {}} for path in WRITABLE),
                    *volumes,
                ],
                **(
                    {"activeDeadlineSeconds": int(kubernetes["activeDeadlineSeconds"])}
                    if "activeDeadlineSeconds" in kubernetes
                    else {}
                ),
            },
        }


def _security(given: Mapping[str, Any]) -> dict[str, Any]:
    """Translate numbers, which protobuf's JSON writes as text."""
    return {name: int(value) if isinstance(value, str) else value for name, value in given.items()}


def _environment(pod: str, given: Mapping[str, str]) -> list[dict[str, Any]]:
    uid = {"name": "KFP_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    return [{"name": "KFP_POD_NAME", "value": pod}, uid, *({"name": n, "value": v} for n, v in given.items())]


def _environment_of(kubernetes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Translate what kfp-kubernetes wrote of Secrets, ConfigMaps and fields into a container's environment."""
    environment = [
        {"name": found["name"], "valueFrom": {"fieldRef": {"fieldPath": found["fieldPath"]}}}
        for found in kubernetes.get("fieldPathAsEnv", [])
    ]
    for kind, key, reference in (
        ("secretAsEnv", "secretKey", "secretKeyRef"),
        ("configMapAsEnv", "configMapKey", "configMapKeyRef"),
    ):
        for found in kubernetes.get(kind, []):
            for pair in found["keyToEnv"]:
                source = {"name": _name(found), "key": pair[key], "optional": found.get("optional", False)}
                environment.append({"name": pair["envVar"], "valueFrom": {reference: source}})
    return environment


def _volumes(kubernetes: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    mounts, volumes = [], []
    for found in kubernetes.get("emptyDirMounts", []):
        size = {key: found[key] for key in ("medium", "sizeLimit") if found.get(key)}
        mounts.append({"name": found["volumeName"], "mountPath": found["mountPath"]})
        volumes.append({"name": found["volumeName"], "emptyDir": size})
    for found in kubernetes.get("configMapAsVolume", []):
        name = _name(found)
        mounts.append({"name": name, "mountPath": found["mountPath"]})
        volumes.append({"name": name, "configMap": {"name": name, "optional": found.get("optional", False)}})
    return mounts, volumes


def _name(found: Mapping[str, Any]) -> str:
    """Give a Secret's or ConfigMap's name, which older and newer compilers write in different places."""
    for kind in ("secretName", "configMapName"):
        if found.get(kind):
            return str(found[kind])
        if parameter := found.get(f"{kind}Parameter"):
            return str(parameter["runtimeValue"]["constant"])
    raise KeyError(f"no name in {found}")


def _resources(container: Mapping[str, Any]) -> dict[str, Any]:
    given = container.get("resources", {})
    names = {
        ("requests", "cpu"): "resourceCpuRequest",
        ("requests", "memory"): "resourceMemoryRequest",
        ("limits", "cpu"): "resourceCpuLimit",
        ("limits", "memory"): "resourceMemoryLimit",
    }
    resources: dict[str, Any] = {}
    for (kind, what), name in names.items():
        if name in given:
            resources.setdefault(kind, {})[what] = given[name]
    return resources
