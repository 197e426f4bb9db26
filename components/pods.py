"""What each task's pod gets on a cluster: resources, time, user, and the settings and credentials that are its own.

The names of ConfigMaps and Secrets are fixed, since names that are parameters fail in parts of Kubeflow. All are
optional: what is missing is told by `check`, by name, and a cluster may give its pods an identity instead of a Secret.
A person may set more on a task, or other resources.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from kfp import dsl, kubernetes

from components.images import image_of
from med42lib.catalogue import STAGES

USER = 10_001
SCRATCH = "/scratch"
RUN_ID = "metadata.labels['pipeline/runid']"
MINUTE, HOUR, DAY = 60, 3_600, 86_400


@dataclass(frozen=True, slots=True)
class Pod:
    """Requests, which find it a node, limits, and how long it may take; an image that cannot be pulled counts too."""

    cpu: tuple[str, str]
    memory: tuple[str, str]
    seconds: int


PODS = {
    "check": Pod(cpu=("100m", "1"), memory=("256Mi", "1Gi"), seconds=30 * MINUTE),
    "stop": Pod(cpu=("100m", "1"), memory=("256Mi", "512Mi"), seconds=10 * MINUTE),
    "fetch_model": Pod(cpu=("500m", "4"), memory=("2Gi", "32Gi"), seconds=12 * HOUR),
    "benchmarks": Pod(cpu=("250m", "2"), memory=("512Mi", "4Gi"), seconds=2 * HOUR),
    "assemble": Pod(cpu=("500m", "8"), memory=("1Gi", "8Gi"), seconds=12 * HOUR),
    "decontaminate": Pod(cpu=("500m", "16"), memory=("2Gi", "32Gi"), seconds=DAY),
    "pack": Pod(cpu=("500m", "8"), memory=("1Gi", "16Gi"), seconds=12 * HOUR),
    "evaluate": Pod(cpu=("500m", "16"), memory=("2Gi", "64Gi"), seconds=3 * DAY),
    "report": Pod(cpu=("250m", "2"), memory=("512Mi", "8Gi"), seconds=2 * HOUR),
    "package_model": Pod(cpu=("250m", "2"), memory=("512Mi", "8Gi"), seconds=12 * HOUR),
    "register": Pod(cpu=("250m", "2"), memory=("512Mi", "4Gi"), seconds=2 * HOUR),
}
"""Not `train`: resources that are set on it are those of the training's pods, which the platform's template decides."""

TRAIN_SECONDS = 22 * DAY
"""The job template's hours of waiting and working together, and a day."""

RUN_SECONDS = 30 * DAY
"""After which a pipeline is ended, whatever it waits for."""

STORE_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
STORE_SETTINGS = ("AWS_REGION", "AWS_ENDPOINT_URL")
TRACKING_KEYS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
DRIVER_SETTINGS = ("MED42_LAUNCHER", "MED42_JOB_TEMPLATE", "MED42_NAMESPACE")
TRACKED = ("check", "register")
LAUNCHING = ("check", "train", "stop")
"""`check` holds batches against the job template's processes, `stop` needs to know whether there are jobs."""


def as_pod(task: dsl.PipelineTask, step: str) -> None:
    """Say on a task what its pod is to get.

    Args:
        task: A task of the pipeline.
        step: Name of its stage, `check` or `stop`.
    """
    kubernetes.set_security_context(task, run_as_user=USER, run_as_non_root=True)
    for variable in ("HOME", "TMPDIR", "MED42_SCRATCH"):
        task.set_env_variable(variable, SCRATCH)
    kubernetes.empty_dir_mount(task, "scratch", SCRATCH)
    _give_resources(task, step)
    _give_settings(task, step)
    kubernetes.add_pod_label(task, "app.kubernetes.io/part-of", "med42")  # what k8s/base has NetworkPolicies for
    if step in ("train", "stop"):
        kubernetes.use_field_path_as_env(task, "MED42_RUN", RUN_ID)
    if step == "train":
        task.set_env_variable("MED42_IMAGE", image_of(STAGES[step].runtime))


def _give_resources(task: dsl.PipelineTask, step: str) -> None:
    pod = PODS.get(step)
    kubernetes.set_timeout(task, pod.seconds if pod else TRAIN_SECONDS)
    if pod:
        task.set_cpu_request(pod.cpu[0]).set_cpu_limit(pod.cpu[1])
        task.set_memory_request(pod.memory[0]).set_memory_limit(pod.memory[1])


def _give_settings(task: dsl.PipelineTask, step: str) -> None:
    if step != "stop":
        _from_config_map(task, "med42-settings", _settings(step))
        _from_secret(task, "med42-s3", STORE_KEYS)
    if step == "fetch_model":
        _from_secret(task, "med42-hf", ("HF_TOKEN",))
    if step in TRACKED:
        _from_secret(task, "med42-mlflow", TRACKING_KEYS)
    if step in LAUNCHING:
        _from_config_map(task, "med42-driver", DRIVER_SETTINGS)
        kubernetes.use_config_map_as_volume(task, "med42-job-template", "/etc/med42", optional=True)


def _settings(step: str) -> tuple[str, ...]:
    """Name what a step reads of the settings; `fetch_model` alone asks a hub, whatever they say."""
    offline = () if step == "fetch_model" else ("HF_HUB_OFFLINE",)
    return (*STORE_SETTINGS, *offline, *(("MLFLOW_TRACKING_URI",) if step in TRACKED else ()))


def _from_config_map(task: dsl.PipelineTask, name: str, variables: Sequence[str]) -> None:
    kubernetes.use_config_map_as_env(task, name, dict(zip(variables, variables, strict=True)), optional=True)


def _from_secret(task: dsl.PipelineTask, name: str, variables: Sequence[str]) -> None:
    kubernetes.use_secret_as_env(task, name, dict(zip(variables, variables, strict=True)), optional=True)
