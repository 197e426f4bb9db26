"""What each task's pod gets on a cluster: resources, time, and the settings and credentials that are its own.

The names of ConfigMaps and Secrets are fixed, since names that are parameters fail in parts of Kubeflow. All are
optional: what is missing is told by `check`, by name, and a cluster may give its pods an identity instead of a Secret.
GPUs, and other resources than these, are said in a file: `med42 compile --pods FILE`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from kfp import dsl, kubernetes
from pydantic import Field, model_validator

from components.images import image_of
from med42lib.catalogue import STAGES
from med42lib.core.authorities import AUTHORITY_VARIABLES, TRACKING_AUTHORITY_VARIABLE
from med42lib.core.cluster_objects import (
    AUTHORITIES_MAP,
    DRIVER_MAP,
    FOR_HUB,
    FOR_STORE,
    FOR_TRACKING,
    JOB_TEMPLATE_MAP,
    RUN_VARIABLE,
    SECRET_KEYS,
    SETTINGS_MAP,
)
from med42lib.core.config import StageConfig, parse_config, written_as
from med42lib.core.environment import GIVEN_PROXIES
from med42lib.core.errors import ConfigError, Problem
from med42lib.core.excerpts import QUOTE_VARIABLE
from med42lib.core.yaml_file import read_yaml

SCRATCH = "/scratch"
"""Where the images have HOME and TMPDIR. They are not set again: a Workflow holds each variable of a task thrice."""

RUN_ID = "metadata.labels['pipeline/runid']"


Cpu = Annotated[str, Field(pattern=r"^\d+(\.\d+)?m?$")]
Memory = Annotated[str, Field(pattern=r"^\d+(Mi|Gi|Ti)$")]

_NAME = r"[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?"
_KEY = rf"([a-z0-9]([a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_NAME}"
LabelKey = Annotated[str, written_as(_KEY, "a key as Kubernetes takes it, like pool or example.com/pool")]
LabelValue = Annotated[str, written_as(f"({_NAME})?", "at most 63 letters, digits, '-', '_' and '.'")]
Labels = dict[LabelKey, LabelValue]

PART_OF = "app.kubernetes.io/part-of"
"""The label that the NetworkPolicies of `k8s/base` choose our pods by."""

OUT_OF_AMBIENT_MODE = {"istio.io/dataplane-mode": "none"}
"""Those policies do not let the port of Istio's tunnel through. Sidecars Kubeflow itself keeps from its steps."""

LEFT_ALONE_BY_AUTOSCALERS = {
    "karpenter.sh/do-not-disrupt": "true",
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
}
"""As the template of training jobs has it: one that tidies up nodes would end a step that works for days."""


class Toleration(StageConfig):
    """A taint of nodes that a pod may run on all the same, in Kubernetes' words."""

    key: LabelKey | None = None
    """The taint's; without one every taint, by the operator Exists."""

    operator: Literal["Equal", "Exists"] = "Equal"
    """Whether the taint's value counts, or only that it is there."""

    value: LabelValue | None = None
    """The taint's, for the operator Equal."""

    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The taint's; without one all three."""

    @model_validator(mode="after")
    def _has_what_its_operator_compares(self) -> Self:
        if self.operator == "Exists" and self.value is not None:
            raise ValueError("the operator Exists compares no value; take one of them out")
        if self.operator == "Equal" and self.key is None:
            raise ValueError("needs a key; without one the operator is Exists")
        return self


class Pod(StageConfig):
    """What a step's pod asks for. What `train` says is given to the pods of the training's job."""

    cpu: tuple[Cpu, Cpu] | None = None
    """Cores: a request, which finds the pod a node, and a limit."""

    memory: tuple[Memory, Memory] | None = None
    """Request and limit."""

    hours: float = Field(gt=0)
    """How long it may take, the pulling of its image included."""

    gpus: int = Field(default=0, ge=0)
    """On one node. Their nodes' taint of that name is tolerated."""

    gpu: str = "nvidia.com/gpu"
    """What the cluster calls its GPUs."""

    node_selector: Labels = Field(default_factory=dict)
    """Labels that the node must have."""

    tolerations: tuple[Toleration, ...] = ()
    """Taints of nodes that it may run on all the same, besides the GPUs' own."""

    labels: Labels = Field(default_factory=dict)
    """Of the pod itself, such as a queue's. The pods of a training's job have the template's, not those of `train`."""

    @model_validator(mode="after")
    def _leaves_our_label_alone(self) -> Self:
        if PART_OF in self.labels:
            raise ValueError(f"labels: {PART_OF} is ours; take it out")
        return self


PODS = {
    "check": Pod(cpu=("100m", "1"), memory=("256Mi", "1Gi"), hours=0.5),
    "stop": Pod(cpu=("100m", "1"), memory=("256Mi", "512Mi"), hours=0.2),
    "fetch_model": Pod(cpu=("250m", "4"), memory=("2Gi", "32Gi"), hours=12),
    "benchmarks": Pod(cpu=("250m", "2"), memory=("512Mi", "4Gi"), hours=2),
    "assemble": Pod(cpu=("250m", "8"), memory=("1Gi", "8Gi"), hours=12),
    "embed_questions": Pod(cpu=("250m", "16"), memory=("2Gi", "16Gi"), hours=24),
    "decontaminate": Pod(cpu=("250m", "16"), memory=("2Gi", "32Gi"), hours=24),
    "pack": Pod(cpu=("250m", "8"), memory=("1Gi", "16Gi"), hours=12),
    # Nothing but time, the job template's hours of waiting and working and a day more: resources would be its job's.
    "train": Pod(hours=22 * 24),
    "answer_questions": Pod(cpu=("250m", "16"), memory=("2Gi", "64Gi"), hours=72),
    "evaluate": Pod(cpu=("250m", "16"), memory=("2Gi", "64Gi"), hours=72),
    "report": Pod(cpu=("250m", "2"), memory=("512Mi", "8Gi"), hours=2),
    "package_model": Pod(cpu=("250m", "2"), memory=("512Mi", "8Gi"), hours=12),
    "register": Pod(cpu=("250m", "2"), memory=("512Mi", "4Gi"), hours=2),
}
"""By step; what another file says (`read_pods`) comes on top."""

_HOURS_FOR_NODES = 7 * 24
"""Of a whole run; before it has a node, no pod's own time passes."""

LOG_SETTINGS = ("MED42_LOG", QUOTE_VARIABLE)
STORE_SETTINGS = ("AWS_REGION", "AWS_ENDPOINT_URL", "MED42_S3_SSE", "MED42_S3_KMS_KEY_ID")
HUB_SETTINGS = ("HF_ENDPOINT",)
TRACKING_SETTINGS = ("MLFLOW_TRACKING_URI", TRACKING_AUTHORITY_VARIABLE)
DRIVER_SETTINGS = ("MED42_LAUNCHER", "MED42_JOB_TEMPLATE", "MED42_NAMESPACE")
TRACKED = ("check", "register")
ASKING_A_HUB = ("fetch_model", "benchmarks", "assemble", "embed_questions", "decontaminate")
"""`fetch_model` whatever the settings say, the others where these do not say HF_HUB_OFFLINE."""

LAUNCHING = ("check", "train", "stop")
"""`check` holds batches against the job template's processes, `stop` needs to know whether there are jobs."""


def read_pods(path: Path) -> Mapping[str, Pod]:
    """Read what is to be other than in `PODS`: a mapping of steps to fields of `Pod`, in YAML.

    Raises:
        ConfigError: If the file cannot be read, or says what there is not; all problems are listed.
    """
    values = read_yaml(path, title="pods")
    if not isinstance(values, dict) or not all(isinstance(given, dict) for given in values.values()):
        raise ConfigError(str(path), [Problem("pods", "expected lines like `evaluate: {gpus: 1}`")])
    problems = [Problem(str(step), f"is no step; there are {', '.join(PODS)}") for step in values.keys() - PODS.keys()]
    pods = {}
    for step, pod in PODS.items():
        try:
            pods[step] = parse_config(Pod, pod.model_dump() | values.get(step, {}), title=str(path), prefix=step)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(str(path), problems)
    return pods


def scoring_memory(pods: Mapping[str, Pod]) -> dict[str, list[str]]:
    """Give request and limit of the steps that load models, but of those whose GPUs hold them."""
    given = {step: pods[step] for step in ("answer_questions", "evaluate")}
    return {step: list(pod.memory) for step, pod in given.items() if pod.memory and not pod.gpus}


def task_config(pod: Pod) -> dict[str, object]:
    """Say of the pod of `train` what Kubeflow hands over to that step, in its words, for `check` to know it as well."""
    gpus = (str(pod.gpus), str(pod.gpus)) if pod.gpus else None
    asked = {name: pair for name, pair in (("cpu", pod.cpu), ("memory", pod.memory), (pod.gpu, gpus)) if pair}
    requests, limits = ({name: pair[index] for name, pair in asked.items()} for index in (0, 1))
    return {"resources": {"requests": requests, "limits": limits}, "nodeSelector": pod.node_selector}


def run_seconds(pods: Mapping[str, Pod]) -> int:
    """Give the time after which a run is ended, whatever it waits for: enough for every step to use up its own.

    No two tasks of one step wait for each other, so the longest way through the pipeline has each step once at most.
    """
    return round((sum(pod.hours for pod in pods.values()) + _HOURS_FOR_NODES) * 3_600)


def as_pod(task: dsl.PipelineTask, step: str, pod: Pod) -> None:
    """Say on a task what its pod is to get.

    Args:
        task: A task of the pipeline.
        step: Name of its stage, `check` or `stop`.
        pod: What it asks for.
    """
    kubernetes.set_security_context(task, run_as_non_root=True)  # as the image's user, or the one that OpenShift gives
    kubernetes.empty_dir_mount(task, "scratch", SCRATCH)
    _give_resources(task, pod)
    _give_settings(task, step)
    for label, value in {**OUT_OF_AMBIENT_MODE, **pod.labels, PART_OF: "med42"}.items():
        kubernetes.add_pod_label(task, label, value)
    for annotation, value in LEFT_ALONE_BY_AUTOSCALERS.items():
        kubernetes.add_pod_annotation(task, annotation, value)
    if step in ("train", "stop"):
        kubernetes.use_field_path_as_env(task, RUN_VARIABLE, RUN_ID)
    if step == "train":
        task.set_env_variable("MED42_IMAGE", image_of(STAGES[step].runtime))


def _give_resources(task: dsl.PipelineTask, pod: Pod) -> None:
    kubernetes.set_timeout(task, round(pod.hours * 3_600))
    if pod.cpu:
        task.set_cpu_request(pod.cpu[0]).set_cpu_limit(pod.cpu[1])
    if pod.memory:
        task.set_memory_request(pod.memory[0]).set_memory_limit(pod.memory[1])
    if pod.gpus:
        task.set_accelerator_type(pod.gpu).set_accelerator_limit(pod.gpus)
        kubernetes.add_toleration(task, key=pod.gpu, operator="Exists", effect="NoSchedule")
    for toleration in pod.tolerations:
        kubernetes.add_toleration(task, **toleration.model_dump())
    for label, value in pod.node_selector.items():
        kubernetes.add_node_selector(task, label, value)


def _give_settings(task: dsl.PipelineTask, step: str) -> None:
    _from_config_map(task, SETTINGS_MAP, _settings(step))
    if step != "stop":
        _from_secret(task, FOR_STORE)
        kubernetes.use_config_map_as_volume(task, AUTHORITIES_MAP, "/etc/med42-ca", optional=True)
    if step == "fetch_model":
        _from_secret(task, FOR_HUB)
    if step in TRACKED:
        _from_secret(task, FOR_TRACKING)
    if step in LAUNCHING:
        _from_config_map(task, DRIVER_MAP, DRIVER_SETTINGS)
        kubernetes.use_config_map_as_volume(task, JOB_TEMPLATE_MAP, "/etc/med42", optional=True)


def _settings(step: str) -> tuple[str, ...]:
    """Name what a step reads of the settings.

    `fetch_model` alone asks a hub, whatever they say; `stop` asks the API server alone, to which no proxy leads.
    """
    if step == "stop":
        return LOG_SETTINGS
    everywhere = (*LOG_SETTINGS, *STORE_SETTINGS, *GIVEN_PROXIES, *AUTHORITY_VARIABLES)
    offline = () if step == "fetch_model" else ("HF_HUB_OFFLINE",)
    hub = HUB_SETTINGS if step in ASKING_A_HUB else ()
    return (*everywhere, *offline, *hub, *(TRACKING_SETTINGS if step in TRACKED else ()))


def _from_config_map(task: dsl.PipelineTask, name: str, variables: Sequence[str]) -> None:
    kubernetes.use_config_map_as_env(
        task, name, {variable: GIVEN_PROXIES.get(variable, variable) for variable in variables}, optional=True
    )


def _from_secret(task: dsl.PipelineTask, name: str) -> None:
    variables = SECRET_KEYS[name]
    kubernetes.use_secret_as_env(task, name, dict(zip(variables, variables, strict=True)), optional=True)
