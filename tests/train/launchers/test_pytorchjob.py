"""Against an API server's double over HTTP; the last tests train on two nodes, whose operator is played too."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from med42lib.commands.main import _on_terminate, main
from med42lib.core.errors import (
    AccessError,
    ClusterUnavailable,
    DivergedError,
    EnvironmentProblem,
    Med42Error,
    StoreUnavailable,
    TrainingProcessError,
)
from med42lib.core.log import set_up_logging
from med42lib.core.stop_signal import StopSignal
from med42lib.engine.context import StageContext
from med42lib.store.artifacts import Source, Target
from med42lib.store.manifest import FileEntry
from med42lib.train.job import Failure, TrainingJob
from med42lib.train.launchers import cluster as cluster_module
from med42lib.train.launchers import followed_log, pytorchjob
from med42lib.train.launchers.cluster import Cluster
from med42lib.train.launchers.launcher import open_launcher
from med42lib.train.launchers.pytorchjob import PyTorchJobLauncher
from med42lib.train.launchers.template import JobTemplate, job_name
from med42lib.train.stage import train
from tests.conftest import REPOSITORY
from tests.processes import wait_for
from tests.train.conftest import FULL, job_of
from tests.train.launchers.kubernetes_api import (
    DROPPED,
    EVENTS,
    FOREIGN,
    GONE,
    HALF,
    JOBS,
    PODS,
    SILENT,
    WORKFLOWS,
    Fault,
    KubernetesApi,
)
from tests.train.launchers.local_operator import LocalOperator

TEMPLATE = REPOSITORY / "k8s/base/job_template.yaml"
IMAGE = "registry.example/med42-train@sha256:" + "0" * 64
ENTRIES = (FileEntry("recipe.json", 3, "a" * 64),)
WORKFLOW = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "run", "uid": "u-1"}
Play = Callable[[str], None]


def template(**others: object) -> JobTemplate:
    values = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))
    return JobTemplate.model_validate({**values, "nodes": 2, "processes_per_node": 1, **others}).with_image(IMAGE)


@pytest.fixture
def job(tmp_path: Path) -> TrainingJob:
    made = job_of(FULL, "s3://bucket/packed", "s3://bucket/model", tmp_path / "store")
    made.write()
    return made


def name_of(job: TrainingJob) -> str:
    return job_name(f"med42-{job.prefix}", job.store, job.prefix)


def launcher(cluster: Cluster, **others: object) -> PyTorchJobLauncher:
    return PyTorchJobLauncher(template(**others), cluster=cluster, seconds_between_looks=0.2)


@contextmanager
def operator(api: KubernetesApi, play: Play) -> Iterator[None]:
    """Play the operator, in a thread, as soon as a job was created; an error in it is one of the test's."""
    threads: list[threading.Thread] = []

    def start(name: str) -> None:
        thread = threading.Thread(target=play, args=(name,), daemon=True)
        thread.start()
        threads.append(thread)

    api.on_create = start
    yield
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def at_work(api: KubernetesApi, name: str) -> None:
    for role in ("master-0", "worker-0"):
        api.put_pod(name, role, "Running")
    api.set_condition(name, "Running", active=2)


def succeed(api: KubernetesApi, name: str, job: TrainingJob) -> None:
    job.write_files(ENTRIES)
    api.ended_logs.add(f"{name}-master-0")
    api.set_condition(name, "Succeeded")


def whole_training(api: KubernetesApi, job: TrainingJob) -> Play:
    def play(name: str) -> None:
        at_work(api, name)
        succeed(api, name, job)

    return play


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


def test_a_job_is_run_to_its_end_and_its_log_is_ours(
    api: KubernetesApi, cluster: Cluster, job: TrainingJob, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging()

    def play(name: str) -> None:
        at_work(api, name)
        api.write_log(f"{name}-master-0", "loss 4.1", "HF_TOKEN=hunter2", "loss 0.5")
        succeed(api, name, job)

    with operator(api, play):
        assert launcher(cluster).run(job, StopSignal()) == job
    lines = shown(capsys).splitlines()
    assert [line for line in lines if not line.startswith("[")] == ["loss 4.1", "HF_TOKEN=***", "loss 0.5"]
    assert any(line.startswith(f"[train] {name_of(job)} succeeded after ") for line in lines)


def test_the_pods_get_the_jobs_address_and_the_key_is_a_label(
    api: KubernetesApi, cluster: Cluster, job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MED42_RUN", "run-7")
    with operator(api, whole_training(api, job)):
        launcher(cluster).run(job, StopSignal())
    made = api.jobs[name_of(job)]
    assert made["spec"]["nprocPerNode"] == "1"
    assert {role: replicas["replicas"] for role, replicas in made["spec"]["pytorchReplicaSpecs"].items()} == {
        "Master": 1,
        "Worker": 1,
    }
    for replicas in made["spec"]["pytorchReplicaSpecs"].values():
        [container] = replicas["template"]["spec"]["containers"]
        assert container["command"] == ["python", "-m", "med42lib.train.worker"]
        assert container["args"] == ["--job", job.address]
        labels = replicas["template"]["metadata"]["labels"]
        assert (labels["med42.io/key"], labels["med42.io/run"]) == ("k", "run-7")
    assert made["metadata"]["labels"]["med42.io/run"] == "run-7"


def test_a_job_is_owned_by_the_workflow_that_its_driver_is_a_pod_of(
    api: KubernetesApi, cluster: Cluster, job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KFP_POD_NAME", "a-step")
    api.put_driver("a-step", [{**WORKFLOW, "kind": "Another"}, {**WORKFLOW, "controller": True}])
    with operator(api, whole_training(api, job)):
        launcher(cluster).run(job, StopSignal())
    [owner] = api.jobs[name_of(job)]["metadata"]["ownerReferences"]
    assert owner == {**WORKFLOW, "controller": False, "blockOwnerDeletion": False}


@pytest.mark.parametrize("pod", [None, "a-step"], ids=["no pod of Kubeflow's", "one that is not there"])
def test_a_driver_that_no_workflow_owns_makes_a_job_that_nothing_owns(
    pod: str | None, api: KubernetesApi, cluster: Cluster, job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KFP_POD_NAME", pod) if pod else monkeypatch.delenv("KFP_POD_NAME", raising=False)
    with operator(api, whole_training(api, job)):
        launcher(cluster).run(job, StopSignal())
    assert "ownerReferences" not in api.jobs[name_of(job)]["metadata"]


def test_a_driver_that_may_not_look_at_its_pod_says_so_and_goes_on(
    api: KubernetesApi,
    cluster: Cluster,
    job: TrainingJob,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_up_logging()
    monkeypatch.setenv("KFP_POD_NAME", "a-step")
    api.faults.append(("GET", f"{PODS}/a-step", 403))
    with operator(api, whole_training(api, job)):
        launcher(cluster).run(job, StopSignal())
    assert "will not be deleted with its run: may not look up the owner of" in shown(capsys)


def test_a_driver_that_was_killed_goes_on_with_its_attempt(
    api: KubernetesApi, cluster: Cluster, job: TrainingJob, tmp_path: Path
) -> None:
    cluster.create(_made_by(api, cluster, job))
    later = job_of(FULL, job.packed, job.model, job.store)
    later.write()
    threading.Timer(0.3, whole_training(api, job), [name_of(job)]).start()
    assert launcher(cluster).run(later, StopSignal()) == job
    assert api.asked("DELETE", JOBS) == 0


def _made_by(api: KubernetesApi, cluster: Cluster, job: TrainingJob) -> dict[str, Any]:
    """What another driver would have created."""
    return pytorchjob._manifest(name_of(job), template(), job, None)


def test_a_job_of_this_run_is_gone_on_with_although_the_template_changed(
    api: KubernetesApi,
    cluster: Cluster,
    job: TrainingJob,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_up_logging()
    monkeypatch.setenv("MED42_RUN", "run-7")
    cluster.create(_made_by(api, cluster, job))
    threading.Timer(0.3, whole_training(api, job), [name_of(job)]).start()
    assert launcher(cluster, nodes=3).run(job, StopSignal()) == job
    assert api.asked("DELETE", JOBS) == 0
    assert "at work on 2 nodes" in shown(capsys), "those that the job has"


@pytest.mark.parametrize("ours", [None, "run-8"], ids=["without a run", "of another run"])
def test_a_job_of_another_run_and_template_is_left_alone(
    ours: str | None, api: KubernetesApi, cluster: Cluster, job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MED42_RUN", "run-7")
    cluster.create(_made_by(api, cluster, job))
    monkeypatch.setenv("MED42_RUN", ours) if ours else monkeypatch.delenv("MED42_RUN")
    with pytest.raises(EnvironmentProblem, match="another run made from another template"):
        launcher(cluster, max_restarts=9).run(job, StopSignal())
    assert list(api.jobs) == [name_of(job)]


def test_a_job_of_another_template_is_never_changed(api: KubernetesApi, cluster: Cluster, job: TrainingJob) -> None:
    cluster.create(_made_by(api, cluster, job))
    before = api.jobs[name_of(job)]
    with pytest.raises(EnvironmentProblem, match=r"another template.*kubectl delete pytorchjob med42-"):
        launcher(cluster, max_restarts=9).run(job, StopSignal())
    assert api.jobs == {name_of(job): before}


@pytest.mark.parametrize("ended", ["Failed", "Succeeded"])
def test_what_ended_without_a_result_is_made_again(
    ended: str, api: KubernetesApi, cluster: Cluster, job: TrainingJob
) -> None:
    cluster.create(_made_by(api, cluster, job))
    api.set_condition(name_of(job), ended)
    later = job_of(FULL, job.packed, job.model, job.store)
    later.write()
    with operator(api, whole_training(api, later)):
        assert launcher(cluster).run(later, StopSignal()) == later
    assert api.asked("DELETE", JOBS) == 1


@pytest.mark.parametrize("kind", [DivergedError, AccessError])
def test_what_a_training_process_failed_of_is_the_stages_error(
    api: KubernetesApi, cluster: Cluster, job: TrainingJob, kind: type[Med42Error]
) -> None:
    def play(name: str) -> None:
        at_work(api, name)
        Failure.of(kind("at step 3"), "").write(job.address)
        api.put_pod(name, "worker-0", "Running", restarts=1)

    with operator(api, play), pytest.raises(kind, match=r"^at step 3$"):
        launcher(cluster).run(job, StopSignal())
    assert api.jobs == {}, "it would fail in the same way again"


def test_a_breakdown_is_told_once_and_its_error_read_when_the_store_is_back(
    api: KubernetesApi,
    cluster: Cluster,
    job: TrainingJob,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_up_logging()
    away, read = iter(["away", "still away"]), Failure.read

    def read_if_there(address: str) -> Failure | None:
        if message := next(away, None):
            raise StoreUnavailable(message)
        return read(address)

    def play(name: str) -> None:
        at_work(api, name)
        Failure.of(DivergedError("at step 3"), "").write(job.address)
        api.put_pod(name, "worker-0", "Running", restarts=1)

    monkeypatch.setattr(Failure, "read", read_if_there)
    with operator(api, play), pytest.raises(DivergedError, match=r"^at step 3$"):
        launcher(cluster).run(job, StopSignal())
    text = shown(capsys)
    assert text.count("goes on unseen: still away") == 1
    assert text.count("worker-0 broke down") == 1


def test_a_worker_that_is_started_again_is_told_and_no_failure(
    api: KubernetesApi, cluster: Cluster, job: TrainingJob, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging()

    def play(name: str) -> None:
        at_work(api, name)
        Failure("killed", "process 1 was killed by SIGKILL").write(job.address)
        api.put_pod(name, "worker-0", "Running", restarts=1)
        wait_for(lambda: api.asked("GET", "previous=True") > 0)
        succeed(api, name, job)

    with operator(api, play):
        launcher(cluster).run(job, StopSignal())
    assert f"{name_of(job)}-worker-0 broke down, and is started again (1)" in shown(capsys)


def test_each_breakdown_of_a_pod_is_told_once_with_its_reason_also_of_another_pod_of_its_name(
    api: KubernetesApi, cluster: Cluster, job: TrainingJob, capsys: pytest.CaptureFixture[str]
) -> None:
    def play(name: str) -> None:
        def seen() -> None:
            looks = api.asked("GET", "labelSelector")
            wait_for(lambda: api.asked("GET", "labelSelector") > looks + 1)

        at_work(api, name)
        api.put_pod(name, "master-0", "Running", restarts=1, ended=("OOMKilled", 137))
        for uid in ("first", "second"):
            api.put_pod(name, "worker-0", "Failed", evicted="low on ephemeral-storage", uid=uid)
            seen()
        api.put_pod(name, "master-0", "Succeeded", restarts=1, ended=("OOMKilled", 137))
        seen()
        succeed(api, name, job)

    set_up_logging()
    with operator(api, play):
        launcher(cluster).run(job, StopSignal())
    assert [line.partition(f"{name_of(job)}-")[2] for line in shown(capsys).splitlines() if " broke down" in line] == [
        "master-0 broke down, and is started again (1): OOMKilled (137)",
        "worker-0 broke down: Evicted: low on ephemeral-storage",
        "worker-0 broke down: Evicted: low on ephemeral-storage",
    ]


def test_a_failed_job_is_told_with_its_events_and_why_each_pod_broke_down_and_its_last_words(
    api: KubernetesApi, cluster: Cluster, job: TrainingJob
) -> None:
    def play(name: str) -> None:
        at_work(api, name)
        for role in ("master-0", "worker-0"):
            api.earlier_logs[f"{name}-{role}"] = f"the last words of {role}\n"
            api.put_pod(name, role, "Running", restarts=1, ended=("OOMKilled", 137) if role == "worker-0" else None)
        wait_for(lambda: api.asked("GET", "previous=True") >= 2)
        api.warn(name, "BackoffLimitExceeded", "too many restarts")
        api.ended_logs.add(f"{name}-master-0")
        api.set_condition(name, "Failed", "PyTorchJob has failed because it has reached the specified backoff limit")

    with operator(api, play), pytest.raises(TrainingProcessError) as caught:
        launcher(cluster).run(job, StopSignal())
    text = str(caught.value)
    assert "has reached the specified backoff limit" in text
    assert "BackoffLimitExceeded: too many restarts" in text
    assert "worker-0 broke down: OOMKilled (137)\n" in text
    assert "worker-0:\nthe last words of worker-0" in text
    assert "the last words of master-0" in text
    assert "Run the same command again to go on" in text


@pytest.mark.parametrize(
    ("prepare", "expected"),
    [
        (
            lambda api, name: api.warn(name, "FailedCreatePod", "violates PodSecurity restricted"),
            "violates PodSecurity",
        ),
        (
            lambda api, name: (
                api.put_pod(name, "master-0", "Pending"),
                api.warn(f"{name}-master-0", "FailedScheduling", "0/16 nodes: Insufficient nvidia.com/gpu"),
            ),
            "FailedScheduling: 0/16 nodes: Insufficient nvidia.com/gpu",
        ),
        (
            lambda api, name: api.put_pod(
                name, "master-0", "Pending", waits=("ErrImagePull", "not found: med42/train")
            ),
            "ErrImagePull: not found: med42/train",
        ),
        (
            lambda api, name: (
                api.warn(name, "FailedCreatePod", 'Error creating: pods "a-master-0" already exists'),
                api.put_pod(name, "master-0", "Pending", waits=("ContainerCreating", "")),
            ),
            "waits: ContainerCreating\n",
        ),
        (
            lambda api, name: (
                at_work(api, name),
                api.put_pod(name, "worker-0", "Running", leaves_at=datetime.now(UTC) - timedelta(minutes=2)),
                api.set_condition(name, "Running", active=1),
            ),
            "worker-0 has not left the node node-of-worker-0, which may be lost",
        ),
        (lambda api, name: api.set_condition(name, "Suspended", active=0), "until the queue a-queue admits it"),
        (lambda api, name: at_work(api, name), "of waiting: node-of-master-0, node-of-worker-0\n"),
    ],
    ids=["FailedCreatePod", "FailedScheduling", "ErrImagePull", "a pod made twice", "a lost node", "Kueue", "at work"],
)
def test_a_job_says_what_it_waits_for_and_where_it_works(
    prepare: Callable[[KubernetesApi, str], object],
    expected: str,
    api: KubernetesApi,
    cluster: Cluster,
    job: TrainingJob,
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_up_logging()
    told: list[str] = []

    def play(name: str) -> None:
        prepare(api, name)
        wait_for(lambda: expected in told_so_far())
        whole_training(api, job)(name)

    def told_so_far() -> str:
        told.append(shown(capsys))
        return "".join(told)

    with operator(api, play):
        launcher(cluster, labels={"kueue.x-k8s.io/queue-name": "a-queue"}).run(job, StopSignal())
    assert "".join([*told, shown(capsys)]).count(expected) == 1, "each reason is told once"


def test_what_went_wrong_with_an_earlier_job_and_pod_of_the_same_names_is_told_no_more(
    api: KubernetesApi, cluster: Cluster, job: TrainingJob, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(name: str) -> None:
        api.put_pod(name, "master-0", "Pending")
        api.warn(f"{name}-master-0", "FailedScheduling", "insufficient memory")
        api.warn(name, "FailedCreatePod", "exceeded quota")
        wait_for(lambda: api.asked("GET", EVENTS) > 3)
        api.set_condition(name, "Failed")

    def fails_later(name: str) -> None:
        asked_before = api.asked("GET", EVENTS)
        api.put_pod(name, "master-0", "Pending", uid="another")
        wait_for(lambda: api.asked("GET", EVENTS) > asked_before + 3)
        api.set_condition(name, "Failed")

    set_up_logging()
    with operator(api, fails), pytest.raises(TrainingProcessError, match="exceeded quota"):
        launcher(cluster).run(job, StopSignal())
    assert "waits: FailedCreatePod: exceeded quota; FailedScheduling: insufficient memory\n" in shown(capsys)
    with operator(api, fails_later), pytest.raises(TrainingProcessError) as caught:
        launcher(cluster).run(job, StopSignal())
    told = shown(capsys)
    assert "waits: 0 of 2 pods run\n" in told
    assert "exceeded quota" not in told + str(caught.value)
    assert "insufficient memory" not in told


def test_time_in_the_queue_and_at_work_have_deadlines_of_their_own(
    api: KubernetesApi, cluster: Cluster, job: TrainingJob
) -> None:
    def waits(name: str) -> None:
        api.warn(name, "FailedCreatePod", "exceeded quota")

    def works(name: str) -> None:
        at_work(api, name)

    with operator(api, waits), pytest.raises(EnvironmentProblem, match=r"max_hours_waiting.*(\n|.)*exceeded quota"):
        launcher(cluster, max_hours_waiting=1 / 3600).run(job, StopSignal())
    assert api.jobs == {}
    with operator(api, works), pytest.raises(TrainingProcessError, match="max_hours_working"):
        launcher(cluster, max_hours_working=1 / 3600).run(job, StopSignal())
    assert api.jobs == {}


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_server_that_is_ill_is_asked_again(code: int, api: KubernetesApi, cluster: Cluster, job: TrainingJob) -> None:
    for method, part in [("POST", JOBS), ("GET", "watch"), ("GET", PODS), ("GET", "/log"), ("GET", EVENTS)]:
        api.faults += [(method, part, code)] * 3
    with operator(api, whole_training(api, job)):
        launcher(cluster).run(job, StopSignal())
    assert api.asked("POST", JOBS) == 4


@pytest.mark.parametrize("fault", [GONE, HALF, DROPPED])
def test_a_watch_that_breaks_is_begun_again(fault: str, api: KubernetesApi, cluster: Cluster, job: TrainingJob) -> None:
    api.faults += [("GET", "watch", fault)] * 3

    def play(name: str) -> None:
        wait_for(lambda: api.asked("GET", "watch") >= 4)
        whole_training(api, job)(name)

    with operator(api, play):
        launcher(cluster).run(job, StopSignal())


def test_a_create_whose_answer_is_lost_makes_one_job(api: KubernetesApi, cluster: Cluster, job: TrainingJob) -> None:
    cluster.create(_made_by(api, cluster, job))
    api.faults.append(("POST", JOBS, DROPPED))
    threading.Timer(0.3, whole_training(api, job), [name_of(job)]).start()
    assert launcher(cluster).run(job, StopSignal()) == job


@pytest.mark.parametrize(("method", "part"), [("POST", JOBS), ("GET", f"{JOBS}/"), ("GET", f"{PODS}?")])
def test_a_server_that_takes_a_request_and_never_answers_is_asked_again(
    method: str, part: str, api: KubernetesApi, cluster: Cluster, job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "_REQUEST_SECONDS", (1, 0.3))
    cluster.create(_made_by(api, cluster, job))
    api.faults.append((method, part, SILENT))
    threading.Timer(0.3, whole_training(api, job), [name_of(job)]).start()
    assert launcher(cluster).run(job, StopSignal()) == job
    assert api.faults == []


def test_a_server_that_stays_away_is_told_as_such_and_the_job_goes_on(
    api: KubernetesApi, cluster: Cluster, job: TrainingJob
) -> None:
    cluster._pause_seconds = 0.001
    api.faults += [("POST", JOBS, 503)] * 9
    with pytest.raises(ClusterUnavailable, match="503 made to answer 503") as caught:
        launcher(cluster).run(job, StopSignal())
    assert caught.value.exit_code == 173


def test_an_outage_while_pods_are_looked_at_ends_nothing(
    api: KubernetesApi, cluster: Cluster, job: TrainingJob, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging()
    cluster._pause_seconds = 0.001
    api.faults += [("GET", "labelSelector", 503)] * 9

    def play(name: str) -> None:
        at_work(api, name)
        wait_for(lambda: api.asked("GET", "labelSelector") > 9)
        succeed(api, name, job)

    with operator(api, play):
        launcher(cluster).run(job, StopSignal())
    assert "goes on unseen: the Kubernetes API server did not answer" in shown(capsys)


def test_missing_rights_are_told_at_once(api: KubernetesApi, cluster: Cluster, job: TrainingJob) -> None:
    api.faults.append(("POST", JOBS, 403))
    with pytest.raises(AccessError, match=r"may not create PyTorchJobs: 403 .*; k8s/base has the Role"):
        launcher(cluster).run(job, StopSignal())
    assert len(api.requests) == 1


@pytest.mark.parametrize("code", [401, 403])
def test_rights_that_come_back_while_a_job_is_looked_at_cost_nothing(
    code: int, api: KubernetesApi, cluster: Cluster, job: TrainingJob
) -> None:
    api.faults += [("GET", part, code) for part in ("watch", "labelSelector", EVENTS)] * 4

    def play(name: str) -> None:
        wait_for(lambda: api.asked("GET", EVENTS) > 4)
        at_work(api, name)
        succeed(api, name, job)

    with operator(api, play):
        launcher(cluster).run(job, StopSignal())
    assert api.asked("DELETE", JOBS) == 0


@pytest.mark.parametrize("part", ["watch", "labelSelector"])
def test_rights_that_are_lost_while_a_job_is_watched_leave_it_at_work(
    part: str, api: KubernetesApi, cluster: Cluster, job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed_log, "_SECONDS_FOR_LAST_LINES", 0.1)
    api.faults += [("GET", part, 403)] * 6
    with operator(api, lambda name: at_work(api, name)), pytest.raises(AccessError, match=r"may not (watch|list pods)"):
        launcher(cluster).run(job, StopSignal())
    assert list(api.jobs) == [name_of(job)]


def test_a_cluster_without_the_operator_is_named(api: KubernetesApi, cluster: Cluster, job: TrainingJob) -> None:
    api.faults.append(("POST", JOBS, 404))
    with pytest.raises(EnvironmentProblem, match="install the Kubeflow training operator"):
        launcher(cluster).run(job, StopSignal())


def test_a_cluster_that_loses_the_operator_is_named(api: KubernetesApi, cluster: Cluster, job: TrainingJob) -> None:
    api.faults.append(("GET", "watch", 404))
    with pytest.raises(EnvironmentProblem, match="knows no PyTorchJobs"):
        launcher(cluster).run(job, StopSignal())


def test_where_nobody_knows_such_jobs_there_is_nothing_to_stop(api: KubernetesApi, cluster: Cluster) -> None:
    api.faults.append(("GET", JOBS, 404))
    assert main(["k8s", "stop", "--run", "run-7"]) == 0


def test_a_job_that_the_webhook_refuses_is_told_with_its_words(
    api: KubernetesApi, cluster: Cluster, job: TrainingJob
) -> None:
    with pytest.raises(EnvironmentProblem, match=r"400 admission webhook.*denied the request.*a-typo"):
        launcher(cluster, run_policy={"a-typo": 1}).run(job, StopSignal())


def test_a_job_that_somebody_deletes_ends_the_stage(api: KubernetesApi, cluster: Cluster, job: TrainingJob) -> None:
    def play(name: str) -> None:
        at_work(api, name)
        api.remove_job(name)

    with operator(api, play), pytest.raises(TrainingProcessError, match="somebody deleted the PyTorchJob"):
        launcher(cluster).run(job, StopSignal())


def in_a_run(api: KubernetesApi, monkeypatch: pytest.MonkeyPatch, run: str) -> None:
    """Make this process a step of a run of Kubeflow's, whose Workflow has the run's name."""
    monkeypatch.setenv("KFP_POD_NAME", "a-step")
    monkeypatch.setenv("MED42_RUN", run)
    api.put_driver("a-step", [{**WORKFLOW, "name": run}])
    api.put_workflow(run)


def test_a_run_that_is_terminated_ends_its_training_before_its_driver_gets_a_signal(
    api: KubernetesApi, cluster: Cluster, job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Argo may leave the exit handler out."""

    def play(name: str) -> None:
        at_work(api, name)
        api.put_workflow("run-7", activeDeadlineSeconds=2_592_000)
        wait_for(lambda: api.asked("GET", WORKFLOWS) > 0)
        api.put_workflow("run-7", activeDeadlineSeconds=0)

    in_a_run(api, monkeypatch, "run-7")
    with operator(api, play), pytest.raises(TrainingProcessError, match="the run was terminated"):
        launcher(cluster).run(job, StopSignal())
    assert api.jobs == {}
    assert api.asked("POST", JOBS) == 1


def test_a_run_that_is_terminated_leaves_another_runs_training_at_work(
    api: KubernetesApi, cluster: Cluster, job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def terminated(name: str) -> None:
        at_work(api, name)
        looked = api.asked("GET", f"{JOBS}/{name}")
        api.put_workflow("run-8", activeDeadlineSeconds=0)
        wait_for(lambda: api.asked("GET", f"{JOBS}/{name}") > looked)
        succeed(api, name, job)

    monkeypatch.setenv("MED42_RUN", "run-7")
    cluster.create(_made_by(api, cluster, job))
    in_a_run(api, monkeypatch, "run-8")
    threading.Timer(0.3, terminated, [name_of(job)]).start()
    launcher(cluster).run(job, StopSignal())
    assert list(api.jobs) == [name_of(job)]
    assert api.asked("DELETE", JOBS) == 0


def test_a_training_that_goes_with_the_run_that_made_it_is_made_again_by_the_one_that_watched(
    api: KubernetesApi, cluster: Cluster, job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def play(name: str) -> None:
        made.append(api.jobs[name]["metadata"]["labels"]["med42.io/run"])
        at_work(api, name)
        succeed(api, name, later)

    later = watched_by_another_run(api, cluster, job, monkeypatch)
    with operator(api, play):
        threading.Timer(0.3, api.remove_job, [name_of(job)]).start()
        assert launcher(cluster).run(later, StopSignal()) == later
    assert made == ["run-8"]


def test_a_training_that_failed_for_good_fails_in_every_run_that_watched_it(
    api: KubernetesApi, cluster: Cluster, job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended_by_its_own_driver() -> None:
        Failure.of(DivergedError("at step 3"), "").write(job.address)
        api.remove_job(name_of(job))

    later = watched_by_another_run(api, cluster, job, monkeypatch)
    threading.Timer(0.3, ended_by_its_own_driver).start()
    with pytest.raises(DivergedError, match=r"^at step 3$"):
        launcher(cluster).run(later, StopSignal())
    assert api.jobs == {}, "it would fail in the same way again"


def test_a_training_whose_output_is_whole_counts_although_its_job_is_gone(
    api: KubernetesApi, cluster: Cluster, job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended_unseen() -> None:
        job.write_files(ENTRIES)
        api.remove_job(name_of(job))

    later = watched_by_another_run(api, cluster, job, monkeypatch)
    threading.Timer(0.3, ended_unseen).start()
    assert launcher(cluster).run(later, StopSignal()) == job
    assert api.jobs == {}


def watched_by_another_run(
    api: KubernetesApi, cluster: Cluster, job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> TrainingJob:
    """Put the job of one run, and make this process a step of another, whose own attempt it gives."""
    monkeypatch.setenv("MED42_RUN", "run-7")
    cluster.create(_made_by(api, cluster, job))
    monkeypatch.setenv("MED42_RUN", "run-8")
    later = job_of(FULL, job.packed, job.model, job.store)
    later.write()
    return later


@pytest.mark.parametrize("run", [None, "run-7"], ids=["without a run", "in a run"])
def test_a_job_that_a_driver_found_again_and_somebody_deletes_ends_the_stage(
    run: str | None, api: KubernetesApi, cluster: Cluster, job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MED42_RUN", run) if run else monkeypatch.delenv("MED42_RUN", raising=False)
    cluster.create(_made_by(api, cluster, job))
    later = job_of(FULL, job.packed, job.model, job.store)
    later.write()
    threading.Timer(0.3, api.remove_job, [name_of(job)]).start()
    with pytest.raises(TrainingProcessError, match="somebody deleted the PyTorchJob"):
        launcher(cluster).run(later, StopSignal())
    assert api.jobs == {}


def test_a_driver_that_may_not_watch_its_workflow_says_so_and_goes_on(
    api: KubernetesApi,
    cluster: Cluster,
    job: TrainingJob,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def play(name: str) -> None:
        at_work(api, name)
        wait_for(lambda: not api.faults)
        wait_for(lambda: "where this run is terminated" in shown(capsys))
        succeed(api, name, job)

    set_up_logging()
    in_a_run(api, monkeypatch, "run-7")
    api.faults += [("GET", WORKFLOWS, 403)] * 6
    with operator(api, play):
        launcher(cluster).run(job, StopSignal())


def test_the_role_allows_what_the_driver_asks_for_and_no_more(
    api: KubernetesApi, cluster: Cluster, job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def play(name: str) -> None:
        api.warn(name, "FailedCreatePod", "exceeded quota")
        wait_for(lambda: api.asked("GET", EVENTS) > 0)
        at_work(api, name)
        api.put_pod(name, "worker-0", "Running", restarts=1)
        wait_for(lambda: api.asked("GET", "/log") > 0)
        succeed(api, name, job)

    in_a_run(api, monkeypatch, "run-7")
    cluster.create(_made_by(api, cluster, job))
    api.set_condition(name_of(job), "Failed")
    with operator(api, play):
        launcher(cluster).run(job, StopSignal())
    assert main(["k8s", "stop", "--run", "run-7"]) == 0
    documents = yaml.safe_load_all((REPOSITORY / "k8s/base/rbac.yaml").read_text(encoding="utf-8"))
    [role] = [document for document in documents if document["kind"] == "Role"]
    allowed = {(verb, resource) for rule in role["rules"] for verb in rule["verbs"] for resource in rule["resources"]}
    assert {asked(method, path) for method, path in api.requests} == allowed


def asked(method: str, path: str) -> tuple[str, str]:
    """Say in RBAC's terms what a request asks for."""
    place, _, query = path.partition("?")
    resource = {EVENTS: "events", WORKFLOWS: "workflows"}.get(
        place, "pods" if place.startswith(PODS) else "pytorchjobs"
    )
    resource += "/log" if place.endswith("/log") else ""
    named = place not in (JOBS, PODS, EVENTS, WORKFLOWS)
    verbs = {"POST": "create", "DELETE": "delete", "GET": "get" if named else "watch" if "watch" in query else "list"}
    return verbs[method], resource


def test_what_a_run_has_left_is_stopped_by_its_label_and_nothing_else(
    api: KubernetesApi,
    cluster: Cluster,
    job: TrainingJob,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for run, name in (("run-7", "left"), ("run-7", "done"), ("run-8", "another")):
        monkeypatch.setenv("MED42_RUN", run)
        made = _made_by(api, cluster, job)
        cluster.create({**made, "metadata": {**made["metadata"], "name": name}})
    api.set_condition("done", "Succeeded")
    monkeypatch.setenv("MED42_RUN", "run-7")  # as the pod of a pipeline's exit handler has it from its label
    assert main(["k8s", "stop"]) == 0
    assert set(api.jobs) == {"done", "another"}
    assert capsys.readouterr().out == "deleted the PyTorchJob left\n"
    assert main(["k8s", "stop", "--run", "run-7"]) == 0
    assert main(["k8s", "stop", "--run", "a,b"]) == 2


DRIVER = """
import signal, sys
from pathlib import Path
from med42lib.commands.main import _on_terminate
from med42lib.core.log import set_up_logging
from med42lib.core.stop_signal import StopSignal
from med42lib.train.job import TrainingJob
from med42lib.train.launchers.launcher import open_launcher
signal.signal(signal.SIGTERM, _on_terminate)
set_up_logging()
open_launcher().run(TrainingJob.read(sys.argv[1]), StopSignal())
"""


@contextmanager
def driver_at_work(
    api: KubernetesApi, job: TrainingJob, folder: Path, variables: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """Start a driver with these variables, whose job is at work."""
    (folder / "template.yaml").write_text(yaml.safe_dump(template().model_dump()))
    environment = {
        **os.environ,
        "KUBECONFIG": str(api.write_kubeconfig(folder / "kubeconfig")),
        "MED42_LAUNCHER": "pytorchjob",
        "MED42_JOB_TEMPLATE": str(folder / "template.yaml"),
        "PYTHONPATH": str(REPOSITORY),
        **variables,
    }
    command = [sys.executable, "-c", DRIVER, job.address]
    looks = api.asked("GET", "labelSelector")
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as driver:
        wait_for(lambda: api.asked("GET", "labelSelector") > looks)
        at_work(api, name_of(job))
        yield driver


def stopped(api: KubernetesApi, job: TrainingJob, folder: Path, **variables: str) -> str:
    """What a driver says that is asked to stop."""
    with driver_at_work(api, job, folder, variables) as driver:
        driver.send_signal(signal.SIGTERM)
        _, said = driver.communicate(timeout=5)
    assert driver.returncode == 143
    return said


def test_a_driver_that_is_asked_to_stop_deletes_the_job_within_a_second(
    api: KubernetesApi, job: TrainingJob, tmp_path: Path
) -> None:
    with driver_at_work(api, job, tmp_path, {}) as driver:
        driver.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        wait_for(lambda: api.jobs == {}, seconds=5)
        assert time.monotonic() - asked < 1
        _, said = driver.communicate(timeout=5)
    assert driver.returncode == 143
    assert "stopped: deleted the PyTorchJob" in said


def test_a_driver_that_is_asked_twice_deletes_the_job_all_the_same(
    api: KubernetesApi, cluster: Cluster, job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked_again(name: str) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return look(name)

    made, look = _made_by(api, cluster, job), cluster.get_at_once
    cluster.create(made)
    monkeypatch.setattr(cluster, "get_at_once", asked_again)
    signal.signal(signal.SIGTERM, _on_terminate)
    with pytest.raises(KeyboardInterrupt), pytorchjob._ended_if_interrupted(cluster, made):
        raise KeyboardInterrupt
    assert api.jobs == {}


@pytest.mark.parametrize("fault", [403, 503, FOREIGN])
def test_what_is_asked_last_of_an_ill_server_has_no_answer_and_raises_nothing(
    fault: Fault, api: KubernetesApi, cluster: Cluster, job: TrainingJob
) -> None:
    made = _made_by(api, cluster, job)
    cluster.create(made)
    api.faults += [("GET", f"{JOBS}/", fault), ("DELETE", f"{JOBS}/", fault)]
    assert cluster.get_at_once(name_of(job)) is None
    assert not cluster.delete_at_once(name_of(job))
    assert api.faults == []


def test_a_driver_that_is_asked_to_stop_leaves_another_runs_job_at_work(
    api: KubernetesApi, cluster: Cluster, job: TrainingJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MED42_RUN", "run-7")
    cluster.create(_made_by(api, cluster, job))
    later = job_of(FULL, job.packed, job.model, job.store)
    later.write()
    assert "which another driver made, goes on" in stopped(api, later, tmp_path, MED42_RUN="run-8")
    assert list(api.jobs) == [name_of(job)]
    assert "stopped: deleted the PyTorchJob" in stopped(api, later, tmp_path, MED42_RUN="run-7")
    assert api.jobs == {}, "a driver of the run that made it may end it"


def test_a_step_of_kubeflow_that_is_asked_to_stop_leaves_the_job_to_its_runs_exit_handler(
    api: KubernetesApi, cluster: Cluster, job: TrainingJob, tmp_path: Path
) -> None:
    """Its node may be drained, and a driver that is started again finds the job."""
    api.put_driver("a-step", [WORKFLOW])
    said = stopped(api, job, tmp_path, KFP_POD_NAME="a-step", MED42_RUN="run-7")
    assert "goes on until its run ends" in said
    assert list(api.jobs) == [name_of(job)]
    assert main(["k8s", "stop", "--run", "run-7"]) == 0
    assert api.jobs == {}, "as after Terminate"


def test_a_step_of_a_pipeline_whose_jobs_have_no_label_to_stop_them_by_deletes_its_own(
    api: KubernetesApi, job: TrainingJob, tmp_path: Path
) -> None:
    api.put_driver("a-step", [WORKFLOW])
    assert "stopped: deleted the PyTorchJob" in stopped(api, job, tmp_path, KFP_POD_NAME="a-step")
    assert api.jobs == {}


PLANTED = {
    "AWS_ACCESS_KEY_ID": "AKIAPLANTED00000001",
    "AWS_SECRET_ACCESS_KEY": "planted-secret-key",
    "HF_TOKEN": "hf_plantedplanted01",
    "MLFLOW_TRACKING_PASSWORD": "planted-password",
}


def test_no_secret_of_the_driver_is_in_its_output_the_job_or_the_store(
    api: KubernetesApi, job: TrainingJob, tmp_path: Path
) -> None:
    """Of a training that breaks down with its secrets on its lips."""
    (tmp_path / "template.yaml").write_text(yaml.safe_dump(template().model_dump()))
    secret = {"name": "med42-hf", "key": "HF_TOKEN"}
    environment = {
        **os.environ,
        **PLANTED,
        "KUBECONFIG": str(api.write_kubeconfig(tmp_path / "kubeconfig")),
        "MED42_LAUNCHER": "pytorchjob",
        "MED42_JOB_TEMPLATE": str(tmp_path / "template.yaml"),
        "MED42_TASK_CONFIG": json.dumps({"env": [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": secret}}]}),
        "PYTHONPATH": str(REPOSITORY),
    }
    words = "; ".join(f"{name}={value}" for name, value in PLANTED.items())
    made: list[Any] = []

    def play(name: str) -> None:
        made.append(json.dumps(api.jobs[name]))
        Failure.of(RuntimeError(words), "").write(job.address)
        api.put_pod(name, "master-0", "Running")
        api.write_log(f"{name}-master-0", words)
        api.put_pod(name, "worker-0", "Running", restarts=1)
        api.earlier_logs[f"{name}-worker-0"] = words
        api.warn(name, "Failed", words)
        api.set_condition(name, "Running", active=2)  # at a change the driver looks at once
        wait_for(lambda: api.asked("GET", "previous=True") > 0)
        api.set_condition(name, "Failed", words)

    with operator(api, play):
        command = [sys.executable, "-c", DRIVER, job.address]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "TrainingProcessError" in done.stderr, done.stderr
    assert "AWS_SECRET_ACCESS_KEY=***" in done.stdout + done.stderr
    stored = [path.read_text() for path in Path(job.store).rglob("*") if path.is_file()]
    assert any("RuntimeError" in text for text in stored), "the reason is kept"
    everything = "".join([done.stdout, done.stderr, *made, *stored])
    assert [value for value in PLANTED.values() if value in everything] == []


def test_the_environment_names_the_template_which_says_how_many_processes_train(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MED42_LAUNCHER", "pytorchjob")
    monkeypatch.delenv("MED42_JOB_TEMPLATE", raising=False)
    with pytest.raises(EnvironmentProblem, match="MED42_JOB_TEMPLATE is not set"):
        open_launcher()
    monkeypatch.setenv("MED42_JOB_TEMPLATE", str(TEMPLATE))
    assert open_launcher().num_processes == 8


def test_without_a_cluster_it_says_so(job: TrainingJob, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nothing"))
    with pytest.raises(EnvironmentProblem, match=r"no Kubernetes cluster is known here: .*[^.]; run in a pod"):
        PyTorchJobLauncher(template()).run(job, StopSignal())


def test_without_the_library_that_asks_a_cluster_it_says_what_to_install(
    job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "kubernetes"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_NoKubernetes(), *sys.meta_path])
    with pytest.raises(EnvironmentProblem, match=r"kubernetes is not installed.*pip install"):
        PyTorchJobLauncher(template()).run(job, StopSignal())


class _NoKubernetes:
    """Finds no such package, as where it is not installed."""

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] == "kubernetes":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def train_with(launcher_name: str, packed: Path, model: Path, folder: Path) -> dict[str, str]:
    """Run the whole stage; gives the sha256 of each file that counts."""
    context, trained = StageContext.in_folder(folder, "train"), Target(folder / "trained")
    trained.folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MED42_LAUNCHER", launcher_name)
        train(FULL, packed=Source(str(packed)), model=Source(str(model)), trained=trained, context=context)
    return {entry.path: entry.sha256 for entry in trained.files() if not entry.note}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_nodes_of_which_one_is_killed_train_the_bytes_of_one_machine(
    api: KubernetesApi,
    base_model: Path,
    packed_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "template.yaml").write_text(yaml.safe_dump(template().model_dump()))
    for name, value in {
        "KUBECONFIG": str(api.write_kubeconfig(tmp_path / "kubeconfig")),
        "MED42_JOB_TEMPLATE": str(tmp_path / "template.yaml"),
        "MED42_PROCESSES_PER_NODE": "2",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    for place in ("here", "there", "pods"):
        (tmp_path / place).mkdir()
    pods = LocalOperator(api, tmp_path / "pods")

    def play(name: str) -> None:
        threading.Thread(target=pods.run, args=(name,), daemon=True).start()
        wait_for(lambda: len(list((tmp_path / "there").rglob("train-process-*/out"))) == 2, seconds=200)
        pods.kill("worker-0")

    with operator(api, play):
        spread = train_with("pytorchjob", packed_data, base_model, tmp_path / "there")
    assert set(pods.restarts) == {"master-0", "worker-0"}, "its peer fails with it"
    assert not list((tmp_path / "there").rglob("failure.json")), "training survived it"
    assert spread == train_with("local", packed_data, base_model, tmp_path / "here")
    assert "model/model.safetensors" in spread
