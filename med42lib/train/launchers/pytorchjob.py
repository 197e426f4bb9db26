"""Training processes on a Kubernetes cluster: a PyTorchJob, made once, watched to its end.

    no job of that name ─────────────► create ──┐
    one at work, of the same template
    or of our own run ───────────────► adopt ───┤► wait for nodes ─► at work ─► succeeded: its attempt counts
    one that failed or is of no use ─► delete, create again            │
                                                                       └► failed, or over its time: the reason

The name comes from the output's key, so a driver that was killed and started again finds its job, and goes on with the
attempt that it had. A driver that is asked to stop (SIGTERM, Ctrl-C) deletes the job if it is its own. In a run of
Kubeflow's that may be a drained node, and the job stays; it is deleted when the run is terminated (`kubeflow_run`). A
driver that loses the API server waits for it; the job goes on meanwhile.

The environment says where and how:

    MED42_JOB_TEMPLATE   path of the platform's template of training jobs (`JobTemplate`)
    MED42_NAMESPACE      namespace; default: this pod's, or the one of kubeconfig
    MED42_RUN            id of the run that this is part of; a label of job and pods, by which a run can be cleaned up
    MED42_IMAGE          image of the training pods where the template names none: the driver's own
    MED42_TASK_CONFIG    what a person gave the pipeline's task, as Kubeflow passes it on: JSON (`TaskConfig`)
    KFP_POD_NAME         the driver's pod, as Kubeflow says: the job goes with the Workflow that owns it
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event
from typing import Any

from med42lib.core.cluster_objects import RUN_VARIABLE
from med42lib.core.errors import (
    ClusterUnavailable,
    DataError,
    DivergedError,
    EnvironmentProblem,
    Med42Error,
    NoSpaceError,
    StoreError,
    StoreUnavailable,
    TrainingProcessError,
)
from med42lib.core.log import log
from med42lib.core.stop_signal import StopSignal
from med42lib.store.patience import impatient
from med42lib.train.job import Failure, TrainingJob
from med42lib.train.launchers.cluster import Cluster, Owner
from med42lib.train.launchers.followed_log import followed_log
from med42lib.train.launchers.kubeflow_run import watched_run, workflow_of
from med42lib.train.launchers.output import LiveOutput
from med42lib.train.launchers.pods import Pod
from med42lib.train.launchers.template import QUEUE_LABEL, JobTemplate, job_name, make_pytorchjob, short_hash

KEY_LABEL, RUN_LABEL = "med42.io/key", "med42.io/run"
JOB_ANNOTATION, TEMPLATE_ANNOTATION = "med42.io/job", "med42.io/template"
_SECONDS_BETWEEN_LOOKS = 30.0
_SECONDS_UNTIL_DELETED = 600.0
_MOST_REASONS = 3
_HOUR = 3600.0

logger = log("train")


class PyTorchJobLauncher:
    """A PyTorchJob of Kubeflow's training operator."""

    def __init__(
        self,
        template: JobTemplate | None = None,
        *,
        cluster: Cluster | None = None,
        seconds_between_looks: float = _SECONDS_BETWEEN_LOOKS,
    ) -> None:
        self._template = template or JobTemplate.of_environment()
        self.num_processes = self._template.num_processes
        self._cluster, self._seconds = cluster, seconds_between_looks

    def run(self, job: TrainingJob, stopping: StopSignal) -> TrainingJob:
        """Run a job, or go on watching an earlier attempt's; errors as `Launcher.run` says.

        Does not look at `stopping`: a signal ends this process at once. Where it deletes the job, its processes save.
        """
        cluster = self._cluster or Cluster.connect()
        name = job_name(f"med42-{job.prefix}", job.store, job.prefix)
        workflow = workflow_of(cluster)
        manifest = _manifest(name, self._template, job, workflow)
        terminated = watched_run(cluster, workflow, lambda: _end_terminated(cluster, manifest))
        with _ended_if_interrupted(cluster, manifest), terminated as is_terminated:
            return self._run(cluster, manifest, job, is_terminated)

    def _run(
        self, cluster: Cluster, manifest: Mapping[str, Any], job: TrainingJob, is_terminated: Event
    ) -> TrainingJob:
        name = manifest["metadata"]["name"]
        while True:
            trained, is_anothers = _submit(cluster, manifest, job, self._seconds)
            if is_terminated.is_set():
                _end_terminated(cluster, manifest)
            watch = _Watch(cluster, name, self._template, trained)
            with followed_log(cluster, f"{name}-master-0", watch.output):
                if watch.to_the_end(self._seconds) or trained.has_files():
                    return trained
            if is_terminated.is_set():
                raise TrainingProcessError(f"the run was terminated, and its PyTorchJob {name} deleted; run it again")
            failure = Failure.read(trained.address)
            if failure is not None and failure.is_permanent:  # another driver saw it first, and deleted the job
                raise failure.to_error("")
            if not is_anothers:
                raise TrainingProcessError(
                    f"somebody deleted the PyTorchJob {name}; run the same command again to go on"
                )
            logger.info("the PyTorchJob %s, which another run made, was deleted, and is made again", name)


def _end_terminated(cluster: Cluster, wanted: Mapping[str, Any]) -> None:
    """Delete the job of a run that somebody terminated; another run's, which this one only watched, goes on."""
    name = wanted["metadata"]["name"]
    found = cluster.get(name)
    if found and _is_of_our_run(found, wanted):
        cluster.delete(name)
        logger.info("the run was terminated: deleted the PyTorchJob %s", name)


@contextmanager
def _ended_if_interrupted(cluster: Cluster, wanted: Mapping[str, Any]) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        with StopSignal():  # `med42 run` asks again what Ctrl-C has not ended within a second
            _end(cluster, wanted)
        raise


def _end(cluster: Cluster, wanted: Mapping[str, Any]) -> None:
    """Delete the job in the moment that is left of this process, if it is ours and nobody else will."""
    name = wanted["metadata"]["name"]
    if _has_exit_handler(wanted):
        logger.info(
            "stopped; the PyTorchJob %s goes on until its run ends, or for a driver that is started again", name
        )
    elif (found := cluster.get_at_once(name)) and not _is_ours(found, wanted):
        logger.info(
            "stopped; the PyTorchJob %s, which another driver made, goes on: kubectl delete pytorchjob ends it", name
        )
    elif found and cluster.delete_at_once(name):
        logger.info("stopped: deleted the PyTorchJob %s; run again to go on from its last checkpoint", name)
    else:
        logger.warning("the PyTorchJob %s may still be there: kubectl delete pytorchjob %s", name, name)


def _has_exit_handler(job: Mapping[str, Any]) -> bool:
    """Say whether a job's run ends it by its label, so that a driver whose node is drained need not."""
    return "ownerReferences" in job["metadata"] and RUN_LABEL in job["metadata"]["labels"]


def _submit(
    cluster: Cluster, manifest: Mapping[str, Any], job: TrainingJob, seconds: float
) -> tuple[TrainingJob, bool]:
    """Create the job or adopt the one of its name; gives what that one trains, and whether it is another run's.

    Raises:
        EnvironmentProblem: If another run's, of another template, is at work under the name, or does not go away.
    """
    name = manifest["metadata"]["name"]
    give_up = time.monotonic() + _SECONDS_UNTIL_DELETED
    while not cluster.create(manifest):
        found = cluster.get(name)
        if found is not None and (adopted := _adopted(found, manifest)):
            logger.info("the PyTorchJob %s is there already; watching it", name)
            return adopted, _run_of(found) != _run_of(manifest)
        if found is not None and "deletionTimestamp" not in found["metadata"]:
            logger.info("removing the PyTorchJob %s, which ended without a result", name)
            cluster.delete(name)
        if time.monotonic() > give_up:
            raise EnvironmentProblem(
                f"the PyTorchJob {name} of an earlier run has not gone {_SECONDS_UNTIL_DELETED:.0f} s after it was "
                f"deleted; see kubectl describe pytorchjob {name} -n {cluster.namespace}"
            )
        time.sleep(min(seconds, 2.0))
    logger.info("created the PyTorchJob %s in namespace %s", name, cluster.namespace)
    return job, False


def _manifest(name: str, template: JobTemplate, job: TrainingJob, owner: Owner | None) -> dict[str, Any]:
    labels = {KEY_LABEL: job.prefix.rpartition("/")[2]}
    if run := os.environ.get(RUN_VARIABLE):
        labels[RUN_LABEL] = run
    annotations = {JOB_ANNOTATION: job.address, TEMPLATE_ANNOTATION: short_hash(template.model_dump())}
    made = make_pytorchjob(template, name, ["--job", job.address], labels=labels, annotations=annotations)
    if owner:
        made["metadata"]["ownerReferences"] = [owner.reference()]
    return made


def _adopted(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> TrainingJob | None:
    """Give what a job of our name trains; None if it is of no use any more.

    Raises:
        EnvironmentProblem: If another run made it, of another template.
    """
    state = _State.of(found)
    if "deletionTimestamp" in found["metadata"] or state.is_true("Failed"):
        return None
    annotations = found["metadata"].get("annotations", {})
    if JOB_ANNOTATION not in annotations or not _is_alike(found, wanted):
        name = found["metadata"]["name"]
        raise EnvironmentProblem(
            f"there is a PyTorchJob {name} that another run made from another template of training jobs, and a job is "
            f"never changed: let it end, or kubectl delete pytorchjob {name}, then run again"
        )
    job = TrainingJob.read(annotations[JOB_ANNOTATION])
    return None if state.is_true("Succeeded") and not job.has_files() else job


def _is_alike(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Say whether a job is of the same template, or of our own run: that of a run's job may have changed meanwhile."""
    return _is_of_our_run(found, wanted) or _agree(found, wanted, TEMPLATE_ANNOTATION)


def _is_ours(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Say whether a job is of our run, or this process made it, whose attempt it then trains."""
    return _is_of_our_run(found, wanted) or _agree(found, wanted, JOB_ANNOTATION)


def _is_of_our_run(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    run = _run_of(wanted)
    return run is not None and _run_of(found) == run


def _run_of(job: Mapping[str, Any]) -> str | None:
    """Give the run that made a job; None if its driver was of none, as it is where a person starts it."""
    run: str | None = job["metadata"].get("labels", {}).get(RUN_LABEL)
    return run


def _agree(found: Mapping[str, Any], wanted: Mapping[str, Any], annotation: str) -> bool:
    theirs = found["metadata"].get("annotations", {}).get(annotation)
    return bool(theirs == wanted["metadata"]["annotations"][annotation])


@dataclass(frozen=True, slots=True)
class _State:
    """A job as the operator describes it: its conditions by type, its pods, and how many of them run or are done."""

    uid: str
    conditions: Mapping[str, Mapping[str, Any]]
    num_pods: int
    num_active: int
    queue: str

    @classmethod
    def of(cls, job: Mapping[str, Any]) -> _State:
        status = job.get("status") or {}
        replicas = (status.get("replicaStatuses") or {}).values()
        return cls(
            job["metadata"]["uid"],
            {condition["type"]: condition for condition in status.get("conditions") or ()},
            sum(each.get("replicas", 1) for each in job["spec"]["pytorchReplicaSpecs"].values()),
            sum(count.get("active", 0) + count.get("succeeded", 0) for count in replicas),
            job["metadata"].get("labels", {}).get(QUEUE_LABEL, ""),
        )

    def is_true(self, kind: str) -> bool:
        return bool(self.conditions.get(kind, {}).get("status") == "True")

    def message(self, kind: str) -> str:
        return str(self.conditions[kind].get("message", ""))

    def seconds_since(self, kind: str) -> float:
        """Say how long a condition has been true; 0 if it is not."""
        changed = self.conditions.get(kind, {}).get("lastTransitionTime")
        if not self.is_true(kind) or not changed:
            return 0.0
        return max(0.0, time.time() - datetime.fromisoformat(changed).timestamp())


@dataclass(slots=True)
class _Watch:
    """What the driver knows of a job that it watches."""

    cluster: Cluster
    name: str
    template: JobTemplate
    job: TrainingJob
    output: LiveOutput = field(default_factory=LiveOutput)
    waited: float = 0.0
    worked: float = 0.0
    _breakdowns: set[tuple[str, int, bool]] = field(default_factory=set)
    _is_failure_read: bool = True
    _reasons: dict[str, str] = field(default_factory=dict)
    _last_words: dict[str, str] = field(default_factory=dict)
    _told: str = ""

    def to_the_end(self, seconds: float) -> bool:
        """Watch until the job has succeeded; False if somebody deleted it.

        Raises:
            Med42Error: Why it did not.
        """
        last: float | None = None
        for found in self.cluster.states(self.name, seconds):
            if found is None:
                break
            state, now = _State.of(found), time.monotonic()
            if last is None:
                self.worked = state.seconds_since("Running")
            if state.is_true("Succeeded"):
                self._tell(f"succeeded after {_spent(self.worked)} at work and {_spent(self.waited)} of waiting")
                return True
            try:
                with impatient():  # it looks again
                    self._look(state, 0.0 if last is None else now - last)
            except (ClusterUnavailable, StoreUnavailable) as error:
                logger.warning("%s goes on unseen: %s", self.name, error)
            last = now
        return False

    def _look(self, state: _State, seconds: float) -> None:
        pods = self.cluster.pods(self.name)
        with self._deleted_on_error():
            self._see_breakdowns(pods)
        if state.is_true("Failed"):
            raise self._failure(state)
        if state.num_active >= state.num_pods and not state.is_true("Suspended"):
            self.worked += seconds
            where = ", ".join(dict.fromkeys(pod.node for pod in pods if pod.node)) or "unknown nodes"
            self._tell(f"at work on {state.num_pods} nodes after {_spent(self.waited)} of waiting: {where}")
        else:
            self.waited += seconds
            self._tell(f"waits: {self._reason(state, pods)}")
        with self._deleted_on_error():
            self._keep_deadlines()

    def _keep_deadlines(self) -> None:
        if self.worked > self.template.max_hours_working * _HOUR:
            raise TrainingProcessError(
                f"the PyTorchJob {self.name} was at work for {_spent(self.worked)}, over max_hours_working = "
                f"{self.template.max_hours_working:g} of the job template, and was deleted; run again to go on"
            )
        if self.waited > self.template.max_hours_waiting * _HOUR:
            raise EnvironmentProblem(
                f"the PyTorchJob {self.name} waited for {_spent(self.waited)}, over max_hours_waiting = "
                f"{self.template.max_hours_waiting:g} of the job template, and was deleted. {self._told}"
            )

    def _see_breakdowns(self, pods: Sequence[Pod]) -> None:
        """Keep why pods broke down, and their last words; an error that comes again each time ends the job now.

        The operator removes a failed job's pods, and their logs with them.
        """
        for pod in pods:
            if pod.breakdown is None or pod.breakdown in self._breakdowns:
                continue
            again = pod.phase != "Failed"
            self._last_words[pod.name] = self.cluster.last_lines(pod.name, of_the_one_before=again)
            self._reasons[pod.name] = pod.broken_by
            what = f"broke down, and is started again ({pod.restarts})" if again else "broke down"
            logger.warning("%s %s%s", pod.name, what, f": {pod.broken_by}" if pod.broken_by else "")
            self._breakdowns.add(pod.breakdown)
            self._is_failure_read = False
        if not self._is_failure_read:
            failure = Failure.read(self.job.address)  # while the store is away, at the next look again
            if failure is not None and failure.is_permanent:
                self.cluster.delete(self.name)  # whatever its kind: that of a pod's rights too, unlike our own
                raise failure.to_error("")
            self._is_failure_read = True

    def _failure(self, state: _State) -> Med42Error:
        failure = Failure.read(self.job.address)
        if failure is None:
            failure = Failure(
                TrainingProcessError.__name__, f"the PyTorchJob {self.name} failed: {state.message('Failed')}"
            )
        warnings = [f"{self.name}: {warning}" for warning in self.cluster.warnings(state.uid)]
        reasons = [f"{pod} broke down: {reason}" for pod, reason in sorted(self._reasons.items()) if reason]
        words = [f"{pod}:\n{text.rstrip()}" for pod, text in sorted(self._last_words.items()) if text]
        return failure.to_error("\n".join([*reasons, *warnings, *(words or [self.output.tail])]))

    def _reason(self, state: _State, pods: Sequence[Pod]) -> str:
        if state.is_true("Suspended"):
            return f"suspended, until the queue {state.queue} admits it" if state.queue else "suspended by somebody"
        found = [f"{pod.name} has not left the node {pod.node}, which may be lost" for pod in pods if pod.lingers]
        found += self.cluster.warnings(state.uid)[-1:]
        for pod in pods:
            if pod.phase == "Pending" and len(found) < _MOST_REASONS:
                found += [pod.waits_for] if pod.waits_for else self.cluster.warnings(pod.uid)[-1:]
        reasons = [reason for reason in dict.fromkeys(found) if reason]
        return "; ".join(reasons[:_MOST_REASONS]) or f"{state.num_active} of {state.num_pods} pods run"

    def _tell(self, text: str) -> None:
        """Log what the job does if it is something else than before, times aside."""
        if text.partition(" after ")[0] != self._told.partition(" after ")[0]:
            logger.info("%s %s", self.name, text)
        self._told = text

    @contextmanager
    def _deleted_on_error(self) -> Iterator[None]:
        """Leave no job at work that nobody waits for; one whose store or cluster is out of reach goes on."""
        try:
            yield
        except (TrainingProcessError, EnvironmentProblem, DataError, DivergedError, NoSpaceError, StoreError):
            self.cluster.delete(self.name)
            raise


def _spent(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
