"""All checks, one after the other: each gives what it finds, and none keeps the next from being made."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from med42lib.core.authorities import check_authorities
from med42lib.core.environment import let_through_by_now
from med42lib.core.errors import EnvironmentProblem, Med42Error
from med42lib.doctor.capacity import check_capacity
from med42lib.doctor.cluster import Answer, check_admission, check_images, check_objects, check_operator, check_rights
from med42lib.doctor.finding import Finding, Level, findings_of, ok, problem, unknown
from med42lib.doctor.machine import check_machine
from med42lib.doctor.services import check_mlflow, check_store
from med42lib.train.launchers.cluster import Cluster
from med42lib.train.launchers.launcher import CLUSTER_LAUNCHER, launcher_name, open_launcher
from med42lib.train.launchers.template import IMAGE_VARIABLE, TEMPLATE_VARIABLE, JobTemplate

_HOURS_OF_THE_STEP = 24
"""Beside those of the training that it watches: for its image, and for sealing the output."""


def check_here(store_address: str) -> Iterator[Finding]:
    """Look at this machine, the store and MLflow, for a run that is all here."""
    yield from check_machine(whole_run=True)
    yield from findings_of("training", _check_launcher)
    yield from check_services(store_address)


def _check_launcher() -> Iterator[Finding]:
    """Say what would start trainings, as far as the environment says something that can be meant."""
    processes = open_launcher().num_processes
    yield ok("training", f"started by the launcher {launcher_name()}; training processes: {processes}")


def check_services(store_address: str | None) -> Iterator[Finding]:
    """Look at the store and MLflow."""
    if store_address is None:
        yield unknown("store", "no --store is given")
        yield unknown("mlflow", "whether it can register models of the store: no --store is given")
        return
    try:
        check_authorities()
    except EnvironmentProblem as error:
        yield problem("certificates", str(error))
        return
    found = list(_ask_services(store_address))
    if any(finding.level is Level.PROBLEM for finding in found) and let_through_by_now():
        found = list(_ask_services(store_address))
    yield from found


def _ask_services(store_address: str) -> Iterator[Finding]:
    yield from check_store(store_address)
    yield from check_mlflow(store_address)


def check_cluster(
    store_address: str | None, *, account: str | None = None, templates: Sequence[Path] = (), image: str | None = None
) -> Iterator[Finding]:
    """Look at this container, the services as they are seen from here, and the cluster.

    Args:
        store_address: The store; None leaves it and MLflow out.
        account: Service account whose rights are asked for; None for those of who asks.
        templates: The template of training jobs and its patches; none for that of the environment or the namespace.
        image: The image that trains where the template names none.
    """
    yield from check_machine(whole_run=False)
    yield from check_services(store_address)
    try:
        cluster = Cluster.connect()
    except Med42Error as error:
        yield problem("cluster", str(error))
        return
    yield from findings_of("rights", lambda: check_rights(cluster, account))
    yield from findings_of("operator", lambda: check_operator(cluster))
    template = None
    try:
        template = _template(cluster, templates)
    except Med42Error as error:
        yield problem("template", str(error))
    accounts = (template.pod["spec"].get("serviceAccountName", "default"),) if template else ()
    yield from findings_of("objects", lambda: check_objects(cluster, accounts))
    if template is None:
        yield unknown("template", "without a template nothing can be said of images, nodes, quotas and webhooks")
    else:
        yield from _check_template(cluster, template, image or os.environ.get(IMAGE_VARIABLE))


def _check_template(cluster: Cluster, template: JobTemplate, image: str | None) -> Iterator[Finding]:
    yield ok("template", f"nodes: {template.nodes}, processes on each: {template.processes_per_node}")
    yield from findings_of("nodes", lambda: check_capacity(cluster, template))
    if "image" not in template.container and image:
        template = template.with_image(image)
    if "image" not in template.container:
        yield unknown("images", f"the template names none, and neither do --image and {IMAGE_VARIABLE}")
        return
    yield from findings_of("images", lambda: check_images(cluster, template))
    yield from findings_of("admission", lambda: check_admission(cluster, template))


def _template(cluster: Cluster, paths: Sequence[Path]) -> JobTemplate | None:
    """Read the template of files, of the environment, or of the namespace; None if we may not read that."""
    if paths:
        return JobTemplate.read(*paths)
    if TEMPLATE_VARIABLE in os.environ:
        return JobTemplate.of_environment()
    answer = Answer.of(cluster, "/api/v1/namespaces/{namespace}/configmaps/med42-job-template")
    if not answer.is_good:
        return None
    with tempfile.TemporaryDirectory(prefix="med42-") as folder:
        for name, text in (answer.body.get("data") or {}).items():
            Path(folder, name).write_text(text, encoding="utf-8")
        return JobTemplate.read(Path(folder))


def check_driver(step_hours: float) -> None:
    """Make sure, before anything is spent, that trainings can be started as the environment says.

    Args:
        step_hours: How long the step that watches a training may take.

    Raises:
        EnvironmentProblem: If trainings run on a cluster, and its template, rights or operator are in the way; all
            that is found is listed.
    """
    if launcher_name() != CLUSTER_LAUNCHER:
        return

    def ask() -> Iterator[Finding]:
        yield from _check_hours(JobTemplate.of_environment(), step_hours)
        cluster = Cluster.connect()
        yield from check_rights(cluster, None)
        yield from check_operator(cluster)

    problems = [finding.text for finding in findings_of("training", ask) if finding.level == Level.PROBLEM]
    if problems:
        raise EnvironmentProblem("\n  ".join(["trainings cannot be started from here:", *problems]))


def _check_hours(template: JobTemplate, step_hours: float) -> Iterator[Finding]:
    waiting, working = template.max_hours_waiting, template.max_hours_working
    if waiting + working > step_hours:
        yield problem(
            "template",
            f"a training may wait and work for max_hours_waiting = {waiting:g} and max_hours_working = {working:g}, "
            f"but the step that watches it is ended after {step_hours:g} hours; lower them, or compile with --pods and "
            f"`train: {{hours: {waiting + working + _HOURS_OF_THE_STEP:g}}}`",
        )
