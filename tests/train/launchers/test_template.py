import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from med42lib.commands.k8s import RESULT_ANNOTATION, rendered_jobs
from med42lib.core.errors import ConfigError, EnvironmentProblem
from med42lib.spec import load_spec
from med42lib.train.launchers.template import MAX_NAME_LENGTH, JobTemplate, job_name, make_pytorchjob
from tests.conftest import REPOSITORY
from tests.train.launchers.kubernetes_api import kubernetes_api
from tests.train.launchers.local_operator import LocalOperator

TEMPLATE = REPOSITORY / "k8s/base/job_template.yaml"
IMAGE = "registry.example/med42-train@sha256:" + "0" * 64


def template(**others: object) -> JobTemplate:
    return JobTemplate.model_validate({**yaml.safe_load(TEMPLATE.read_text(encoding="utf-8")), **others}).with_image(
        IMAGE
    )


def made_in(environment: Mapping[str, str]) -> dict[str, Any]:
    """The job that a driver with these variables makes of the committed template."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"MED42_JOB_TEMPLATE": str(TEMPLATE), "MED42_IMAGE": IMAGE, **environment}.items():
            patch.setenv(name, value)
        return make_pytorchjob(JobTemplate.of_environment(), "a", [], labels={}, annotations={})


def pod_of(job: Mapping[str, Any]) -> Any:
    return job["spec"]["pytorchReplicaSpecs"]["Master"]["template"]["spec"]


def test_one_node_is_a_master_alone_which_needs_no_init_container() -> None:
    made = make_pytorchjob(template(nodes=1), "a", [], labels={}, annotations={})
    assert list(made["spec"]["pytorchReplicaSpecs"]) == ["Master"]


def test_each_breakdown_of_all_nodes_counts_once() -> None:
    """The operator adds up the restarts of all pods, and in a breakdown each is started again once or twice."""
    made = make_pytorchjob(template(nodes=8, max_restarts=3), "a", [], labels={}, annotations={})
    assert made["spec"]["runPolicy"]["backoffLimit"] == 3 * 2 * 8 + 1
    made = make_pytorchjob(template(nodes=8, max_restarts=0), "a", [], labels={}, annotations={})
    assert made["spec"]["runPolicy"]["backoffLimit"] == 1


def test_the_pods_know_how_often_they_may_start_from_the_same_step() -> None:
    def told(max_restarts: int) -> list[str]:
        made = make_pytorchjob(template(max_restarts=max_restarts), "a", [], labels={}, annotations={})
        return [each["value"] for each in pod_of(made)["containers"][0]["env"] if each["name"] == "MED42_MAX_RESTARTS"]

    assert (told(3), told(0)) == (["3"], []), "without restarts the operator itself ends the job at the first"


def test_nodes_wait_for_each_other_as_long_as_the_job_may_wait_and_know_the_machines_they_are_on() -> None:
    env = pod_of(make_pytorchjob(template(max_hours_waiting=168), "a", [], labels={}, annotations={}))["containers"][0]
    given = {each.pop("name"): each for each in env["env"]}
    assert given["PET_RDZV_CONF"] == {"value": f"timeout={168 * 3600}"}
    assert given["MED42_NODE"] == {"valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}


def test_training_has_as_long_to_save_as_its_pod_has_to_end() -> None:
    def told(**grace: int | None) -> list[str]:
        pod = {"spec": {"containers": [{"name": "pytorch", "image": "i"}], **grace}}
        made = make_pytorchjob(template(pod=pod), "a", [], labels={}, annotations={})
        env = pod_of(made)["containers"][0]["env"]
        return [each["value"] for each in env if each["name"] == "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"]

    assert told(terminationGracePeriodSeconds=600) == ["598"]
    assert told(terminationGracePeriodSeconds=None) == ["28"]
    assert told() == ["28"], "Kubernetes gives 30 seconds"


def test_the_platform_may_replace_the_run_policy_and_the_template_stays_as_it_is() -> None:
    given = template(run_policy={"schedulingPolicy": {"queue": "q"}, "cleanPodPolicy": "All"})
    before = given.model_dump()
    policy = make_pytorchjob(given, "a", ["--job", "x"], labels={"l": "1"}, annotations={})["spec"]["runPolicy"]
    assert (policy["schedulingPolicy"], policy["cleanPodPolicy"]) == ({"queue": "q"}, "All")
    assert given.model_dump() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nodes": 0}, "nodes: .*greater than or equal to 1"),
        ({"pods": {}}, "pods: is not a known setting"),
        ({"pod": {"spec": {"containers": [{"name": "main", "image": "i"}]}}}, "not one container 'pytorch'"),
        (
            {"pod": {"spec": {"containers": [{"name": "pytorch", "image": "i", "args": []}]}}},
            "has args, which we fill in",
        ),
        ({"pod": {"spec": []}}, "not one container 'pytorch'"),
    ],
)
def test_a_template_that_makes_no_job_is_refused_with_its_path(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    values = {**yaml.safe_load(TEMPLATE.read_text(encoding="utf-8")), **change}
    (tmp_path / "template.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError, match=message) as caught:
        JobTemplate.read(tmp_path / "template.yaml")
    assert str(tmp_path) in str(caught.value)


def test_a_template_without_an_image_trains_in_the_drivers_own() -> None:
    assert pod_of(made_in({}))["containers"][0]["image"] == IMAGE


def test_an_image_that_the_template_names_is_not_replaced_by_the_drivers(tmp_path: Path) -> None:
    (tmp_path / "job_template.yaml").write_text(yaml.safe_dump(template().model_dump()))
    made = made_in({"MED42_JOB_TEMPLATE": str(tmp_path), "MED42_IMAGE": "the-drivers"})
    assert pod_of(made)["containers"][0]["image"] == IMAGE


def test_without_any_image_the_places_for_one_are_named() -> None:
    with pytest.raises(EnvironmentProblem, match=r"names no image; name one there, set MED42_IMAGE .* --image"):
        made_in({"MED42_IMAGE": ""})


def test_files_beside_the_template_are_merged_into_it_by_name(tmp_path: Path) -> None:
    (tmp_path / "job_template.yaml").write_text(TEMPLATE.read_text(encoding="utf-8"))
    (tmp_path / "10-size.yaml").write_text("nodes: 4\nlabels: {size: '10'}")
    (tmp_path / "20-queue.yaml").write_text("labels: {size: '20', kueue.x-k8s.io/queue-name: q}")
    read = JobTemplate.read(tmp_path)
    assert read.nodes == 4
    assert read.labels == {"app.kubernetes.io/part-of": "med42", "size": "20", "kueue.x-k8s.io/queue-name": "q"}
    assert read == JobTemplate.read(TEMPLATE, tmp_path / "10-size.yaml", tmp_path / "20-queue.yaml")


def test_a_person_who_gives_the_pipelines_task_gpus_gives_them_to_each_pod() -> None:
    resources = {"requests": {"cpu": "4"}, "limits": {"nvidia.com/gpu": "2", "memory": "9Gi"}}
    made = made_in({"MED42_TASK_CONFIG": json.dumps({"resources": resources})})
    assert made["spec"]["nprocPerNode"] == "2"
    assert pod_of(made)["containers"][0]["resources"] == {
        "requests": {"cpu": "4", "ephemeral-storage": "400Gi"},
        "limits": {"nvidia.com/gpu": "2", "memory": "9Gi"},
    }, "a request that is over the new limit would be refused"


@pytest.mark.parametrize(
    "gpu", ["nvidia.com/gpu", "nvidia.com/gpu.shared", "nvidia.com/mig-3g.40gb", "amd.com/gpu", "gpu.intel.com/xe"]
)
def test_gpus_that_a_task_was_given_replace_the_templates_whatever_both_are_called(gpu: str, tmp_path: Path) -> None:
    (tmp_path / "job_template.yaml").write_text(TEMPLATE.read_text(encoding="utf-8"))
    network = {"rdma/rdma_shared_device_a": "1"}
    templates = {"nvidia.com/gpu": None, gpu: "8", **network}
    resources = {"requests": templates, "limits": templates}
    patch = {"pod": {"spec": {"containers": [{"name": "pytorch", "resources": resources}]}}}
    (tmp_path / "90-gpu.yaml").write_text(yaml.safe_dump(patch))
    for given in (gpu, "nvidia.com/mig-1g.10gb"):
        task = {"resources": {"limits": {given: "2"}}}
        made = made_in({"MED42_JOB_TEMPLATE": str(tmp_path), "MED42_TASK_CONFIG": json.dumps(task)})
        found = pod_of(made)["containers"][0]["resources"]
        assert made["spec"]["nprocPerNode"] == "2"
        assert found["limits"] == {"memory": "480Gi", given: "2", **network}
        assert found["requests"] == {"cpu": "32", "memory": "480Gi", "ephemeral-storage": "400Gi", **network}


def test_what_a_task_was_given_besides_wins_over_the_template_or_adds_to_it() -> None:
    secret = {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}
    driver, pods = {"name": "MED42_LAUNCHER", "value": "pytorchjob"}, {"name": "NCCL_DEBUG", "value": "INFO"}
    spot = {"key": "spot", "operator": "Exists"}
    task = {
        "env": [driver, pods, {"name": "TOKEN", "valueFrom": secret}],
        "tolerations": [spot],
        "nodeSelector": {"pool": "a"},
        "affinity": {"nodeAffinity": {}},
        "volumes": [{"name": "scratch", "persistentVolumeClaim": {"claimName": "c"}}],
        "volumeMounts": [
            {"name": "data", "mountPath": "/data"},
            {"name": "med42-job-template", "mountPath": "/etc/med42"},
            {"name": "med42-ca", "mountPath": "/etc/med42-ca"},
        ],
        "of-a-later-kubeflow": 1,
    }
    pod, before = pod_of(made_in({"MED42_TASK_CONFIG": json.dumps(task)})), pod_of(made_in({}))
    env = {each["name"]: each for each in pod["containers"][0]["env"]}
    assert env["NCCL_DEBUG"] == pods
    assert env["TOKEN"]["valueFrom"] == secret
    assert "MED42_LAUNCHER" not in env
    assert env.keys() - {"TOKEN"} == {each["name"] for each in before["containers"][0]["env"]}
    assert pod["tolerations"] == [*before["tolerations"], spot]
    assert (pod["nodeSelector"], pod["affinity"]) == ({"pool": "a"}, {"nodeAffinity": {}})
    assert {each["name"]: each for each in pod["volumes"]}["scratch"] == task["volumes"][0]
    mounts = pod["containers"][0]["volumeMounts"]
    assert mounts == [*before["containers"][0]["volumeMounts"], task["volumeMounts"][0]], "the template has its own"
    assert pod["containers"][0]["resources"] == before["containers"][0]["resources"]


def from_secret(name: str, secret: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": name, "optional": True}}}


def test_what_the_pipeline_gives_its_driver_does_not_replace_what_the_template_says(tmp_path: Path) -> None:
    said = {
        "AWS_ACCESS_KEY_ID": from_secret("AWS_ACCESS_KEY_ID", "training-only"),
        "AWS_ENDPOINT_URL": {"name": "AWS_ENDPOINT_URL", "value": "https://store.training"},
    }
    (tmp_path / "job_template.yaml").write_text(TEMPLATE.read_text(encoding="utf-8"))
    patch = {"pod": {"spec": {"containers": [{"name": "pytorch", "env": list(said.values())}]}}}
    (tmp_path / "90-training.yaml").write_text(yaml.safe_dump(patch))
    settings = {"configMapKeyRef": {"name": "med42-settings", "key": "AWS_ENDPOINT_URL", "optional": True}}
    pipelines = [{"name": "AWS_ENDPOINT_URL", "valueFrom": settings}, from_secret("AWS_ACCESS_KEY_ID", "med42-s3")]

    def env(*given: dict[str, Any]) -> dict[str, Any]:
        task = {"env": [{"name": "MED42_RUN", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}, *given]}
        made = made_in({"MED42_JOB_TEMPLATE": str(tmp_path), "MED42_TASK_CONFIG": json.dumps(task)})
        return {each["name"]: each for each in pod_of(made)["containers"][0]["env"] if each["name"] in said}

    assert env(*pipelines) == said
    by_a_person = from_secret("AWS_ACCESS_KEY_ID", "mine")
    assert env(*pipelines, by_a_person)["AWS_ACCESS_KEY_ID"] == by_a_person


def test_the_committed_template_has_all_that_the_pipeline_would_have_given() -> None:
    [container] = pod_of(made_in({}))["containers"]
    named = {each["name"] for source in container["envFrom"] for each in source.values()}
    assert {"med42-settings", "med42-s3"} <= named


def test_what_nobody_set_on_the_task_comes_from_kubeflow_as_null_and_changes_nothing() -> None:
    unset = dict.fromkeys(("affinity", "nodeSelector", "resources", "tolerations", "env", "volumeMounts", "volumes"))
    assert pod_of(made_in({"MED42_TASK_CONFIG": json.dumps(unset)})) == pod_of(made_in({}))


@pytest.mark.parametrize("text", ["{", "[]", '{"resources": 8}'])
def test_a_task_config_that_is_none_is_refused_with_its_variables_name(text: str) -> None:
    with pytest.raises((EnvironmentProblem, ConfigError), match="MED42_TASK_CONFIG"):
        made_in({"MED42_TASK_CONFIG": text})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "template.yaml: No such file or directory; correct --template or MED42_JOB_TEMPLATE, or mount the Conf"),
        ("nodes: [", "template.yaml is no YAML"),
        ("\x00", "template.yaml is no YAML"),
        ("a: 1\n---\nb: 2\n", "give the file job_template.yaml, or a folder that holds it and its patches alone"),
    ],
)
def test_a_template_that_cannot_be_read_is_told_with_what_to_do(text: str | None, said: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "template.yaml").write_text(text)
    with pytest.raises(EnvironmentProblem, match=said):
        JobTemplate.read(tmp_path / "template.yaml")


@pytest.mark.parametrize("label", ["llama-2-70b_full seed 2", "x" * 200, "train/0123456789abcdef", "ünïcode."])
def test_a_name_is_a_short_dns_label_that_says_what_the_job_is(label: str) -> None:
    name = job_name(label, "a")
    assert len(name) <= MAX_NAME_LENGTH
    assert name.replace("-", "").isalnum()
    assert name.isascii()
    assert name == job_name(label, "a") != job_name(label, "b")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_rendered_job_that_is_applied_needs_nothing_else_to_train(
    base_model: Path, packed_data: Path, tmp_path: Path
) -> None:
    settings = ["global_batch_size=4", "micro_batch_size=4", "warmup_steps=1", "epochs=1"]
    spec = load_spec(REPOSITORY / "pipelines/specs/demo.yaml", [f"train.full.{each}" for each in settings])
    here = {"packed": str(packed_data), "model": str(base_model), "store": str(tmp_path / "store")}
    [job] = dict(rendered_jobs(spec, template(processes_per_node=1), **here))["full"]
    (tmp_path / "pods").mkdir()
    with kubernetes_api() as api:
        api.put_job(job)
        LocalOperator(api, tmp_path / "pods").run(job["metadata"]["name"])
        conditions = api.jobs[job["metadata"]["name"]]["status"]["conditions"]
    assert conditions[-1]["type"] == "Succeeded", api.logs
    assert (Path(job["metadata"]["annotations"][RESULT_ANNOTATION]) / "model/model.safetensors").is_file()
