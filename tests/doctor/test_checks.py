"""The cluster's checks against a scripted API server, through the command and the door of the pipeline's first task."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from med42lib.commands.main import main
from med42lib.core import environment
from med42lib.core.errors import EnvironmentProblem
from med42lib.doctor import checks
from med42lib.doctor.checks import check_driver
from med42lib.doctor.cluster import RIGHTS
from med42lib.doctor.finding import Level, ok, problem
from med42lib.train.launchers.launcher import CLUSTER_LAUNCHER
from tests.conftest import REPOSITORY
from tests.doctor.scripted_server import NOT_FOUND, Answer, Scripted
from tests.k8s.restricted import violations
from tests.kubeconfig import write_kubeconfig

NAMESPACE = "training"
PLACE = f"/api/v1/namespaces/{NAMESPACE}"
JOBS = f"/apis/kubeflow.org/v1/namespaces/{NAMESPACE}/pytorchjobs"
QUEUE = f"/apis/kueue.x-k8s.io/v1beta2/namespaces/{NAMESPACE}/localqueues/q"
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
IMAGE = "registry.example/med42-train@sha256:" + "0" * 64
HIDDEN: Answer = (403, {"message": 'secrets "x" is forbidden: User "u" cannot get resource "secrets"'})
Run = Callable[..., tuple[int, str]]


def node(name: str, gpus: str, **others: Any) -> dict[str, Any]:
    most = {"cpu": "64", "memory": "1000Gi", "ephemeral-storage": "900Gi", "nvidia.com/gpu": gpus, "pods": "110"}
    status = {"allocatable": most, "images": [{"names": [IMAGE]}]}
    return {"metadata": {"name": name, "labels": {"pool": "a"}}, "spec": others, "status": status}


def limit_range(limits: dict[str, str]) -> dict[str, Any]:
    """As the server gives one: with requests in place of limits."""
    return {"spec": {"limits": [{"type": "Container", "default": limits, "defaultRequest": limits}]}}


def secret(*keys: str) -> Answer:
    return 200, {"data": dict.fromkeys(keys, "cGxhbnRlZC1zZWNyZXQ=")}


@pytest.fixture
def healthy(scripted: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """A cluster in which a job of two nodes can be made."""
    template = yaml.safe_load((REPOSITORY / "k8s/base/job_template.yaml").read_text())
    template |= {"nodes": 2, "labels": {"kueue.x-k8s.io/queue-name": "q"}}
    scripted.answers |= {
        REVIEW: (201, {"status": {"allowed": True}}),
        "/apis/kubeflow.org/v1": (200, {"resources": [{"name": "pytorchjobs"}]}),
        f"{PLACE}/configmaps/med42-settings": (200, {}),
        f"{PLACE}/configmaps/med42-driver": (200, {}),
        f"{PLACE}/configmaps/med42-job-template": (200, {"data": {"job_template.yaml": yaml.safe_dump(template)}}),
        f"{PLACE}/serviceaccounts/med42-training": (200, {}),
        f"{PLACE}/secrets/med42-s3": secret("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        f"{PLACE}/secrets/med42-mlflow": secret("MLFLOW_TRACKING_TOKEN"),
        f"{PLACE}/secrets/med42-hf": secret("HF_TOKEN"),
        "/api/v1/nodes": (200, {"items": [node("n1", "8"), node("n2", "8")]}),
        f"{PLACE}/resourcequotas": (200, {"items": []}),
        f"{PLACE}/limitranges": (200, {"items": [limit_range({"memory": "1Gi"})]}),
        f"{PLACE}/pods": lambda body: (201, body) if body else (200, {"items": []}),
        PLACE: (200, {"metadata": {"labels": {}}}),
        "/apis/kueue.x-k8s.io": (200, {"preferredVersion": {"version": "v1beta2"}}),
        QUEUE: (200, {"status": {"conditions": [{"type": "Active", "status": "True"}]}}),
        JOBS: lambda body: (201, body),
    }
    monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path / "kubeconfig", scripted.address, NAMESPACE)))
    for name in ("MED42_JOB_TEMPLATE", "MED42_IMAGE", "MED42_TASK_CONFIG", "MED42_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    return scripted


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> tuple[int, str]:
        code = main(["doctor", "--image", IMAGE, *arguments])
        return code, capsys.readouterr().out

    return run


@pytest.mark.parametrize(
    ("variable", "value"),
    [("MED42_PROCESSES_PER_NODE", "two"), ("MED42_LAUNCHER", "slurm"), ("MED42_START_METHOD", "forkk")],
)
def test_an_environment_in_which_no_training_can_be_started_here_is_a_problem(
    doctor: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    code, shown = doctor("--local", "--store", str(tmp_path / "store"))
    assert code == EnvironmentProblem.exit_code
    assert f"{variable}='{value}': expected " in shown


def test_a_store_that_is_a_file_is_said_to_be_one(doctor: Run, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    code, shown = doctor("--local", "--store", str(tmp_path / "store"))
    assert code == EnvironmentProblem.exit_code
    assert f"{tmp_path}/store is a file, not a folder" in shown


def test_certificates_that_are_not_where_the_environment_says_are_named(
    doctor: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    code, shown = doctor("--local", "--store", str(tmp_path / "store"))
    assert code == EnvironmentProblem.exit_code
    assert f"SSL_CERT_FILE={tmp_path}/ca.pem; correct it" in shown
    (tmp_path / "ca.pem").touch()
    assert "SSL_CERT_FILE" not in doctor("--local", "--store", str(tmp_path / "store"))[1]


def test_a_cluster_that_lacks_nothing_has_no_problem_and_no_secret_is_shown(healthy: Scripted, doctor: Run) -> None:
    code, shown = doctor()
    assert code == 0
    assert ", 0 problem, " in shown
    assert "planted-secret" not in shown
    assert "cGxhbnRlZC1zZWNyZXQ" not in shown
    dry = [path for path, _ in healthy.seen if path.startswith((JOBS, f"{PLACE}/pods?dry"))]
    assert dry == [f"{JOBS}?dryRun=All", f"{PLACE}/pods?dryRun=All"], "nothing is made"


WAITING = {"status": {"containerStatuses": [{"image": "i", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}}
ILL: Mapping[str, tuple[str, Any, str]] = {
    "no operator": ("/apis/kubeflow.org/v1", NOT_FOUND, "install the Kubeflow training operator"),
    "no rights": (REVIEW, (201, {"status": {"allowed": False}}), "may not create pytorchjobs, delete pytorchjobs"),
    "no settings": (f"{PLACE}/configmaps/med42-settings", NOT_FOUND, "ConfigMap med42-settings is not in training"),
    "no account": (f"{PLACE}/serviceaccounts/med42-training", NOT_FOUND, "ServiceAccount med42-training is not in"),
    "wrong keys": (f"{PLACE}/secrets/med42-s3", secret("key"), "has no key AWS_ACCESS_KEY_ID and no AWS_SECRET_"),
    "no key for MLflow": (f"{PLACE}/secrets/med42-mlflow", secret("token"), "has no key MLFLOW_TRACKING_USERNAME"),
    "operator down": (
        JOBS,
        (500, {"message": "failed calling webhook"}),
        "refuse a job of the template: failed calling",
    ),
    "refused pod": (
        f"{PLACE}/pods",
        lambda body: (403, {"message": 'pods "d" is forbidden: violates PodSecurity'}) if body else (200, {}),
        "refuse a pod of the template: pods",
    ),
    "no Kueue": ("/apis/kueue.x-k8s.io", NOT_FOUND, "the cluster has no Kueue"),
    "no queue": (QUEUE, NOT_FOUND, "there is no LocalQueue q in training"),
    "idle queue": (
        QUEUE,
        (200, {"status": {"conditions": [{"type": "Active", "status": "False", "message": "no ClusterQueue"}]}}),
        "admits nothing: no ClusterQueue",
    ),
    "small quota": (
        f"{PLACE}/resourcequotas",
        (200, {"items": [{"metadata": {"name": "q"}, "status": {"hard": {"requests.nvidia.com/gpu": "8"}}}]}),
        "q allows requests.nvidia.com/gpu 8, and a job of the template needs 16",
    ),
    "small quota of limits": (
        f"{PLACE}/resourcequotas",
        (200, {"items": [{"metadata": {"name": "q"}, "status": {"hard": {"limits.memory": "900Gi"}}}]}),
        "q allows limits.memory 900Gi, and a job of the template needs",
    ),
    "small quota of objects": (
        f"{PLACE}/resourcequotas",
        (200, {"items": [{"metadata": {"name": "q"}, "status": {"hard": {"count/services": "1"}}}]}),
        "q allows count/services 1, and a job of the template needs 2",
    ),
    "no job is allowed": (
        f"{PLACE}/resourcequotas",
        (200, {"items": [{"metadata": {"name": "q"}, "status": {"hard": {"count/pytorchjobs.kubeflow.org": "0"}}}]}),
        "q allows count/pytorchjobs.kubeflow.org 0, and a job of the template needs 1",
    ),
    "no image": (
        f"{PLACE}/pods",
        lambda body: (201, {}) if body else (200, {"items": [{"metadata": {"name": "p"}, **WAITING}]}),
        "pod p waits for i: ImagePullBackOff",
    ),
    "bad template": (
        f"{PLACE}/configmaps/med42-job-template",
        (200, {"data": {"job_template.yaml": "nodes: 0"}}),
        "nodes: should be greater than or equal to 1",
    ),
}


@pytest.mark.parametrize("what", ILL)
def test_each_thing_that_is_ill_is_one_problem(what: str, healthy: Scripted, doctor: Run) -> None:
    path, answer, expected = ILL[what]
    healthy.answers[path] = answer
    code, shown = doctor()
    assert code == 4
    problems = [line for line in shown.splitlines() if line.startswith("problem ")]
    assert len(problems) == 1, shown
    assert expected in problems[0]


def test_an_image_that_no_node_has_is_tried_by_a_pod_that_a_restricted_namespace_takes(
    healthy: Scripted, doctor: Run
) -> None:
    healthy.answers["/api/v1/nodes"] = HIDDEN
    _, shown = doctor()
    assert "kubectl run" not in shown, "its pod says nothing of what it may do"
    assert f"no node is known to have pulled {IMAGE}; try it as the image of k8s/doctor.yaml" in shown
    pod = yaml.safe_load((REPOSITORY / "k8s/doctor.yaml").read_text())["spec"]["template"]["spec"]
    assert list(violations(pod)) == []


def test_what_the_account_may_not_see_is_said_to_be_not_checked(healthy: Scripted, doctor: Run) -> None:
    for path in ("/api/v1/nodes", f"{PLACE}/secrets/med42-s3", f"{PLACE}/resourcequotas", f"{PLACE}/pods", PLACE):
        healthy.answers[path] = HIDDEN
    code, shown = doctor()
    assert code == 0
    hidden = [line for line in shown.splitlines() if line.startswith("not checked")]
    for about in ("nodes", "objects", "quota", "images", "admission"):
        assert any(line[13:].startswith(about) for line in hidden), about
    assert "ok           nodes" not in shown


@pytest.mark.parametrize(
    "nodes",
    [
        [node("n1", "8"), node("n2", "4")],
        [node("n1", "8"), node("n2", "8", unschedulable=True)],
        [node("n1", "8"), node("n2", "8", taints=[{"key": "k", "effect": "NoSchedule"}])],
    ],
    ids=["too few GPUs", "cordoned", "tainted"],
)
def test_too_few_nodes_of_the_kind_are_a_warning(nodes: list[Any], healthy: Scripted, doctor: Run) -> None:
    healthy.answers["/api/v1/nodes"] = (200, {"items": nodes})
    _, shown = doctor()
    [line] = [line for line in shown.splitlines() if line[13:].startswith("nodes ")]
    assert line.startswith("warning")
    assert "a job needs 2" in line


def test_several_pods_of_a_job_may_run_on_one_node(healthy: Scripted, doctor: Run) -> None:
    large, small = node("n1", "16"), node("n2", "4")
    healthy.answers["/api/v1/nodes"] = (200, {"items": [large, small]})
    _, shown = doctor()
    assert "the 2 nodes that the template may use could hold 2 pods of nvidia.com/gpu 8; a job needs 2" in shown
    large["status"]["allocatable"]["pods"] = "1"
    _, shown = doctor()
    assert "could hold 1 pods of nvidia.com/gpu 8, but a job needs 2: it will wait unless" in shown


def test_whether_the_operator_has_an_init_container_that_passes_is_not_known(healthy: Scripted, doctor: Run) -> None:
    healthy.answers[PLACE] = (200, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
    _, shown = doctor()
    assert "not checked  admission    the namespace enforces Pod Security restricted, and whether the operator" in shown


def test_a_quota_that_is_in_use_makes_the_job_wait(healthy: Scripted, doctor: Run) -> None:
    status = {"hard": {"pods": "3"}, "used": {"pods": "2"}}
    healthy.answers[f"{PLACE}/resourcequotas"] = (200, {"items": [{"metadata": {"name": "q"}, "status": status}]})
    code, shown = doctor()
    assert code == 0
    assert "q allows pods 3, and a job of the template needs 2, of which 2 is in use: the job will wait" in shown


@pytest.mark.parametrize(
    "spec",
    [
        {"scopes": ["BestEffort"]},
        {"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}},
    ],
    ids=lambda spec: next(iter(spec)),
)
def test_a_quota_of_some_pods_is_not_compared(spec: dict[str, Any], healthy: Scripted, doctor: Run) -> None:
    quota = {"metadata": {"name": "q"}, "spec": spec, "status": {"hard": {"pods": "0"}}}
    healthy.answers[f"{PLACE}/resourcequotas"] = (200, {"items": [quota]})
    code, shown = doctor()
    assert code == 0
    assert "not checked  quota        q is of some pods alone" in shown


QUOTA = {"metadata": {"name": "q"}, "status": {"hard": {"requests.cpu": "999", "limits.memory": "9Ti"}}}


@pytest.mark.parametrize(
    ("limits", "spec", "expected"),
    [
        ({"memory": "1Gi"}, {}, "problem      quota        quotas of training count requests.cpu, so a container"),
        ({"memory": "1Gi", "cpu": "64"}, {}, "0 problem"),
        ({}, {"scopes": ["BestEffort"]}, "0 problem"),
    ],
    ids=["no default", "defaults", "a quota of some pods"],
)
def test_where_quotas_count_what_a_step_does_not_say_a_limit_range_has_to(
    limits: dict[str, str], spec: dict[str, Any], expected: str, healthy: Scripted, doctor: Run
) -> None:
    healthy.answers[f"{PLACE}/resourcequotas"] = (200, {"items": [{**QUOTA, "spec": spec}]})
    healthy.answers[f"{PLACE}/limitranges"] = (200, {"items": [limit_range(limits)]})
    assert expected in doctor()[1]
    healthy.answers[f"{PLACE}/limitranges"] = HIDDEN
    assert "not checked  limits       LimitRanges of training may not be listed" in doctor()[1]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (
            {"default": {"cpu": "2"}},
            "asks for cpu 32, and a LimitRange allows 2, so its pods are refused; give it limits.cpu",
        ),
        ({"default": {"cpu": "64"}, "max": {"cpu": "64"}}, None),
        ({"max": {"cpu": "16"}}, "asks for cpu 32, and a LimitRange allows 16"),
        ({"default": {"memory": "1Gi"}}, None),
        (
            {"max": {"memory": "64Gi"}},
            "asks for memory 480Gi, and a LimitRange allows 64Gi, so its pods are refused; ask for",
        ),
    ],
    ids=["default", "high enough", "maximum as default", "default beside a limit", "maximum below the limit"],
)
def test_a_limit_range_that_keeps_the_templates_pods_out_is_a_problem(
    limits: dict[str, Any], expected: str | None, healthy: Scripted, doctor: Run
) -> None:
    spec = {"limits": [{"type": "Container", **limits}, {"type": "Pod", "max": {"cpu": "1"}}]}
    healthy.answers[f"{PLACE}/limitranges"] = (200, {"items": [{"spec": spec}]})
    code, shown = doctor()
    problems = [line for line in shown.splitlines() if line.startswith("problem      limits ")]
    assert code == (4 if expected else 0)
    assert len(problems) == (1 if expected else 0)
    assert expected is None or expected in problems[0]


def test_rights_of_another_account_are_asked_for_by_its_name(healthy: Scripted, doctor: Run) -> None:
    asked = []

    def review(body: Any) -> Answer:
        asked.append(body["spec"]["user"])
        return 201, {"status": {"allowed": True}}

    healthy.answers["/apis/authorization.k8s.io/v1/subjectaccessreviews"] = review
    code, shown = doctor("--service-account", "med42-driver")
    assert code == 0
    assert set(asked) == {f"system:serviceaccount:{NAMESPACE}:med42-driver"}
    assert "service account med42-driver may make and watch" in shown


def test_the_rights_that_are_asked_for_are_those_of_the_role() -> None:
    documents = yaml.safe_load_all((REPOSITORY / "k8s/base/rbac.yaml").read_text(encoding="utf-8"))
    [role] = [document for document in documents if document["kind"] == "Role"]
    given = {
        (group, *f"{resource}/".split("/")[:2], verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert set(RIGHTS) == given


def test_a_cluster_that_is_away_is_a_problem_of_each_check_and_none_is_left_out(
    doctor: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Scripted(address="http://127.0.0.1:9")
    monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path / "kubeconfig", away.address, NAMESPACE)))
    code, shown = doctor("--template", str(REPOSITORY / "k8s/base/job_template.yaml"))
    assert code == 4
    problems = {line.split()[1] for line in shown.splitlines() if line.startswith("problem ")}
    assert problems == {"rights", "operator", "objects", "nodes", "images", "admission"}


def test_one_machine_needs_no_cluster(doctor: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nothing"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MED42_HOME", str(tmp_path))
    code, shown = doctor("--local", "--store", str(tmp_path / "store"))
    assert code == 0
    assert "cluster" not in shown


def test_a_pod_that_is_refused_in_its_first_moments_asks_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([problem("mlflow", "Connection refused"), ok("mlflow", "answers")])
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setattr(environment, "SECONDS_UNTIL_LET_THROUGH", 0.0)
    monkeypatch.setattr(checks, "check_mlflow", lambda _: [next(answers)])
    found = list(checks.check_services(str(tmp_path)))
    assert Level.PROBLEM not in {finding.level for finding in found}
    assert ok("mlflow", "answers") in found


def test_before_a_run_what_is_in_the_way_of_trainings_is_one_error(
    healthy: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MED42_LAUNCHER", CLUSTER_LAUNCHER)
    monkeypatch.setenv("MED42_JOB_TEMPLATE", str(REPOSITORY / "k8s/base/job_template.yaml"))
    check_driver(step_hours=528)
    healthy.answers |= {"/apis/kubeflow.org/v1": NOT_FOUND, REVIEW: (201, {"status": {"allowed": False}})}
    with pytest.raises(EnvironmentProblem, match=r"may not create(.|\n)*install the Kubeflow training operator"):
        check_driver(step_hours=528)
    healthy.seen.clear()
    monkeypatch.setenv("MED42_LAUNCHER", "local")
    check_driver(step_hours=1)
    assert healthy.seen == []


def test_a_template_whose_trainings_outlive_the_step_that_watches_them_is_refused_before_a_run(
    healthy: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MED42_LAUNCHER", "pytorchjob")
    monkeypatch.setenv("MED42_JOB_TEMPLATE", str(REPOSITORY / "k8s/base/job_template.yaml"))
    check_driver(step_hours=168 + 336)
    with pytest.raises(EnvironmentProblem, match=r"max_hours_waiting = 168 .*after 500 hours.*`train: \{hours: 528\}`"):
        check_driver(step_hours=500)
