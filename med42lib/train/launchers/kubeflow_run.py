"""The run of Kubeflow's that a driver is a step of, as its Workflow shows it.

Terminate sets the Workflow's `activeDeadlineSeconds` to 0. The step's pod gets SIGTERM 7 to 13 s later, too late to ask
for anything: Kubeflow's launcher ends at once, and its end is the pod's. Nor is the exit handler sure to run: Argo 4.0
leaves it out where its first pod has not started ten seconds after (DECISIONS 100). So the driver watches its Workflow.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

from med42lib.core.errors import AccessError, EnvironmentProblem, Med42Error
from med42lib.core.log import log
from med42lib.train.launchers.cluster import Cluster, Owner

POD_VARIABLE = "KFP_POD_NAME"
_WORKFLOW = "Workflow"
_SECONDS_OF_A_WATCH = 180.0
"""A load balancer that drops a silent connection, after four minutes on Azure, tells neither end. No shorter, as each
watch begins with the whole Workflow, which is hundreds of kilobytes."""
_SECONDS_BETWEEN_WATCHES = 1.0

logger = log("train")


def workflow_of(cluster: Cluster) -> Owner | None:
    """Find Kubeflow's Workflow that this driver is a pod of, so that the job is deleted with it; None if there is none.

    Without it the job is only not deleted with its run, so whatever is in the way is told, and no failure.
    """
    pod = os.environ.get(POD_VARIABLE)
    try:
        owners = cluster.owners(pod) if pod else []
    except (AccessError, EnvironmentProblem) as error:
        logger.warning("the job will not be deleted with its run: %s", error)
        return None
    return next((owner for owner in owners if owner.kind == _WORKFLOW), None)


@contextmanager
def watched_run(cluster: Cluster, workflow: Owner | None, end: Callable[[], None]) -> Iterator[Event]:
    """While the block lasts, call `end` when somebody terminates the run; gives the event of that."""
    terminated, left = Event(), Event()
    if workflow:
        Thread(target=_watch, args=(cluster, workflow, terminated, left, end), daemon=True).start()
    try:
        yield terminated
    finally:
        left.set()


def _watch(cluster: Cluster, workflow: Owner, terminated: Event, left: Event, end: Callable[[], None]) -> None:
    try:
        for found in cluster.owner_states(workflow, _SECONDS_OF_A_WATCH):
            if left.is_set():
                return
            if found is None:
                left.wait(_SECONDS_BETWEEN_WATCHES)
            elif _is_terminated(found):
                terminated.set()
                end()
                return
    except Med42Error as error:
        logger.warning("where this run is terminated, its training may go on until the Workflow is removed: %s", error)


def _is_terminated(workflow: Mapping[str, Any]) -> bool:
    """Say whether it was terminated: by Kubeflow, or by Argo's own command."""
    return workflow["spec"].get("activeDeadlineSeconds") == 0 or bool(workflow["spec"].get("shutdown"))
