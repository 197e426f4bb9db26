import copy
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from med42lib.core.errors import ConfigError
from med42lib.train.launchers.template import MAX_NAME_LENGTH, JobTemplate, make_pytorchjob
from med42lib.train.launchers.trainjob import make_trainjob
from tests.conftest import REPOSITORY
from tests.k8s.restricted import violations

K8S = REPOSITORY / "k8s"
TEMPLATE = K8S / "base/job_template.yaml"
PATCHES = [path for path in sorted(K8S.glob("*/*/[0-9]*.yaml")) if "run_policy" not in path.read_text()]
IMAGE = "registry.example/med42-train@sha256:" + "0" * 64
ARGUMENTS = ["--job-json", "{}"]
INJECTED = {"PET_NNODES", "PET_NPROC_PER_NODE", "PET_NODE_RANK", "PET_MASTER_ADDR", "PET_MASTER_PORT"}
"""What Trainer's torch plugin sets, and refuses to be told otherwise."""


def template(*patches: Path, **others: object) -> JobTemplate:
    return JobTemplate.read(TEMPLATE, *patches).with_image(IMAGE).patched(others, title="a test")


def made(template: JobTemplate) -> tuple[Any, Any]:
    runtime, job = make_trainjob(template, "a-job", ARGUMENTS, labels={"l": "1"}, annotations={"a": "2"})
    return runtime, job


def job_of(runtime: Any) -> Any:
    """The one Kubernetes Job that JobSet makes."""
    [replicated] = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    return replicated["template"]


def pod_of(runtime: Any) -> Any:
    return job_of(runtime)["spec"]["template"]


def pytorchjob_pod(template: JobTemplate) -> Any:
    job = make_pytorchjob(template, "a-job", ARGUMENTS, labels={"l": "1"}, annotations={"a": "2"})
    return job["spec"]["pytorchReplicaSpecs"]["Master"]["template"]


@pytest.mark.parametrize(("nodes", "processes"), [(1, 1), (1, 8), (2, 1), (16, 8)])
def test_a_trainjob_has_the_templates_nodes_and_processes_under_torchs_policy(nodes: int, processes: int) -> None:
    runtime, job = made(template(nodes=nodes, processes_per_node=processes))
    assert job["spec"]["trainer"] == {"numNodes": nodes, "numProcPerNode": processes}
    assert runtime["spec"]["mlPolicy"] == {"torch": {}}


def test_a_trainjob_names_the_runtime_that_stands_before_it() -> None:
    runtime, job = made(template())
    assert job["spec"]["runtimeRef"] == {"kind": runtime["kind"], "name": runtime["metadata"]["name"]}
    assert {runtime["apiVersion"], job["apiVersion"]} == {"trainer.kubeflow.org/v1alpha1"}


def test_labels_and_annotations_are_where_kueue_and_people_look() -> None:
    runtime, job = made(template(labels={"kueue.x-k8s.io/queue-name": "q"}))
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "q"
    assert job["metadata"]["annotations"] == {"a": "2"}
    assert pod_of(runtime)["metadata"]["labels"]["l"] == "1"


@pytest.mark.parametrize("patches", [[], *([path] for path in PATCHES)], ids=str)
def test_pods_are_those_of_the_pytorchjob_in_all_but_how_they_begin_again(patches: list[Path]) -> None:
    given = template(*patches)
    pod, same = pod_of(made(given)[0]), pytorchjob_pod(given)
    [container], [other] = pod["spec"].pop("containers"), same["spec"].pop("containers")
    assert (container.pop("name"), other.pop("name")) == ("node", "pytorch")
    env, others = ({each.pop("name"): each for each in one.pop("env")} for one in (container, other))
    assert env == others
    assert not env.keys() & INJECTED
    assert pod["spec"].pop("restartPolicy") == "Never"
    assert (container, pod) == (other, same)


@pytest.mark.parametrize("patches", [[], *([path] for path in PATCHES)], ids=str)
def test_pods_are_allowed_in_a_restricted_namespace_and_have_no_token_and_no_secret(patches: list[Path]) -> None:
    runtime, _ = made(template(*patches))
    pod = pod_of(runtime)["spec"]
    [container] = pod["containers"]
    assert list(violations(pod)) == []
    assert pod["automountServiceAccountToken"] is False
    assert {"secretRef": {"name": "med42-s3", "optional": True}} in container["envFrom"]
    assert not [each["name"] for each in container["env"] if "KEY" in each["name"]]


def test_each_breakdown_of_whatever_node_begins_all_anew_as_often_as_the_template_says() -> None:
    runtime, _ = made(template(max_restarts=5))
    assert runtime["spec"]["template"]["spec"]["failurePolicy"] == {"maxRestarts": 5}
    assert job_of(runtime)["spec"]["backoffLimit"] == 0


def test_nodes_wait_for_each_other_as_long_as_those_of_a_pytorchjob() -> None:
    """torchrun gives up after 15 minutes, in which not every node may have come."""
    pod = pod_of(made(template(max_hours_waiting=48.5))[0])
    env = {each["name"]: each.get("value") for each in pod["spec"]["containers"][0]["env"]}
    assert env["PET_RDZV_CONF"] == f"timeout={48 * 3600 + 1800}"


def test_names_leave_room_for_those_of_a_thousand_pods() -> None:
    assert MAX_NAME_LENGTH + len("-node-0-999-abcde") <= 63


def test_what_only_a_pytorchjob_has_is_refused_and_nothing_is_lost_without_a_word() -> None:
    with pytest.raises(ConfigError, match=r"run_policy: is of PyTorchJobs.*schedulingPolicy.*render a PyTorchJob"):
        made(template(K8S / "components/coscheduling/40-gang.yaml"))


def test_the_template_stays_as_it_is() -> None:
    given = template()
    before = copy.deepcopy(given.model_dump())
    made(given)
    assert given.model_dump() == before


def test_kubernetes_own_part_of_a_runtime_has_no_field_that_kubernetes_lacks() -> None:
    """Trainer's and JobSet's parts are held to the real API server in `tests/cluster`."""
    job = job_of(made(template())[0])
    assert read_by_kubernetes(job) == job
    job["spec"]["template"]["spec"]["tolerationz"] = []
    assert read_by_kubernetes(job) != job


def read_by_kubernetes(job: Any) -> Any:
    """Read a Job's template into the client's own class and write it again, by which an unknown field is lost."""
    from kubernetes.client import ApiClient

    client = ApiClient()
    return client.sanitize_for_serialization(
        client.deserialize(SimpleNamespace(data=json.dumps(job)), "V1JobTemplateSpec")
    )


def test_written_as_yaml_the_two_share_no_part_by_an_alias() -> None:
    assert "&id" not in yaml.safe_dump_all(made(template()))
