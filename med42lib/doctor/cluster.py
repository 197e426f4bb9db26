"""The cluster: rights, objects, the training operator, and whether the server would take what the template makes.

Each question is asked once. What the account that asks may not see is said to be not checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from med42lib.core.cluster_objects import (
    DRIVER_MAP,
    FOR_HUB,
    FOR_STORE,
    FOR_TRACKING,
    JOB_TEMPLATE_MAP,
    SECRET_KEYS,
    SETTINGS_MAP,
    TEMPORARY_KEYS,
)
from med42lib.doctor.finding import Finding, ok, problem, unknown, warning
from med42lib.train.launchers.cluster import Cluster
from med42lib.train.launchers.template import GROUP, PLURAL, VERSION, JobTemplate, make_pytorchjob

RIGHTS = (
    *((GROUP, PLURAL, "", verb) for verb in ("create", "delete", "get", "list", "watch")),
    ("", "pods", "", "get"),
    ("", "pods", "", "list"),
    ("", "pods", "log", "get"),
    ("", "events", "", "list"),
    ("argoproj.io", "workflows", "", "watch"),
)
"""What the driver of a training may do: API group, resource, part of it, verb; `k8s/base/rbac.yaml` says the same."""

_RBAC_WORDS = "cannot "  # pods is forbidden: User "x" cannot create resource "pods" ...
_PULL_FAILURES = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server answered to one question."""

    status: int
    body: Mapping[str, Any]

    @classmethod
    def of(cls, cluster: Cluster, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Ask; the path may hold `{namespace}`."""
        return cls(*cluster.ask(path.format(namespace=cluster.namespace), body))

    @property
    def is_good(self) -> bool:
        """Say whether it was what we asked for."""
        return self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def is_hidden(self) -> bool:
        """Say whether we may not ask this; a quota, a policy or a webhook that refuses says something else."""
        return self.status == HTTPStatus.UNAUTHORIZED or (
            self.status == HTTPStatus.FORBIDDEN and _RBAC_WORDS in self.message
        )

    @property
    def message(self) -> str:
        """What it says of itself."""
        return str(self.body.get("message", f"status {self.status}"))


def check_rights(cluster: Cluster, account: str | None) -> Iterator[Finding]:
    """Look whether we, or a service account of the namespace, may do what a training's driver does."""
    who = f"service account {account}" if account else "who asks here"
    answers = [Answer.of(cluster, *_review(cluster.namespace, account, right)) for right in RIGHTS]
    if hidden := next((answer for answer in answers if not answer.is_good), None):
        yield unknown("rights", f"those of {who} may not be asked for: {hidden.message}")
        return
    allowed = [bool(answer.body.get("status", {}).get("allowed")) for answer in answers]
    missing = [_words(right) for right, is_allowed in zip(RIGHTS, allowed, strict=True) if not is_allowed]
    if missing:
        yield problem(
            "rights", f"{who} may not {', '.join(missing)} in {cluster.namespace}; apply k8s/base, and use med42-driver"
        )
    else:
        yield ok("rights", f"{who} may make and watch training jobs in {cluster.namespace}")


def _review(namespace: str, account: str | None, right: tuple[str, str, str, str]) -> tuple[str, Mapping[str, Any]]:
    group, resource, part, verb = right
    kind = "SubjectAccessReview" if account else "SelfSubjectAccessReview"
    asked = {"namespace": namespace, "group": group, "resource": resource, "subresource": part, "verb": verb}
    user = {"user": f"system:serviceaccount:{namespace}:{account}"} if account else {}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": {"resourceAttributes": asked, **user}}
    return f"/apis/authorization.k8s.io/v1/{kind.lower()}s", body


def _words(right: tuple[str, str, str, str]) -> str:
    _, resource, part, verb = right
    return f"{verb} {resource}/{part}" if part else f"{verb} {resource}"


def check_objects(cluster: Cluster, accounts: tuple[str, ...]) -> Iterator[Finding]:
    """Look for what pods name: settings, Secrets with their keys (never their values), and service accounts."""
    for name in (SETTINGS_MAP, DRIVER_MAP, JOB_TEMPLATE_MAP):
        yield _object(cluster, "ConfigMap", f"/api/v1/namespaces/{{namespace}}/configmaps/{name}", name)
    for name in accounts:
        yield _object(cluster, "ServiceAccount", f"/api/v1/namespaces/{{namespace}}/serviceaccounts/{name}", name)
    for name in SECRET_KEYS:
        yield _secret(name, Answer.of(cluster, f"/api/v1/namespaces/{{namespace}}/secrets/{name}"))


def _object(cluster: Cluster, kind: str, path: str, name: str) -> Finding:
    answer = Answer.of(cluster, path)
    if answer.is_good:
        return ok("objects", f"{kind} {name} is there")
    if answer.status == HTTPStatus.NOT_FOUND:
        return problem("objects", f"{kind} {name} is not in {cluster.namespace}; apply an overlay of k8s/overlays")
    return unknown("objects", f"{kind} {name} may not be read: {answer.message}")


def _secret(name: str, answer: Answer) -> Finding:
    if answer.status == HTTPStatus.NOT_FOUND:
        return warning("objects", f"Secret {name} is not there; needed unless {_instead(name)}")
    if not answer.is_good:
        return unknown("objects", f"Secret {name} may not be read from here, as it should be; look as an administrator")
    found = sorted(answer.body.get("data") or {})
    if missing := _missing(name, found):
        return problem(
            "objects",
            f"Secret {name} has no key {' and no '.join(missing)}, but {', '.join(found) or 'none'}; make it again",
        )
    return ok("objects", f"Secret {name} has its keys")


def _missing(name: str, found: Sequence[str]) -> list[str]:
    """Name the keys without which a Secret is of no use; one of MLflow's three is enough to be of some."""
    missing = [key for key in SECRET_KEYS[name] if key not in (*found, *TEMPORARY_KEYS)]
    return [] if name == FOR_TRACKING and len(missing) < len(SECRET_KEYS[name]) else missing


def _instead(name: str) -> str:
    return {
        FOR_STORE: "the service accounts have a cloud identity",
        FOR_TRACKING: "MLflow lets everybody in",
        FOR_HUB: "no gated model is fetched",
    }[name]


def check_operator(cluster: Cluster) -> Iterator[Finding]:
    """Look whether the cluster knows PyTorchJobs."""
    answer = Answer.of(cluster, f"/apis/{GROUP}/{VERSION}")
    if any(resource.get("name") == PLURAL for resource in answer.body.get("resources", ())):
        yield ok("operator", "the cluster knows PyTorchJobs")
    elif answer.is_good or answer.status == HTTPStatus.NOT_FOUND:
        yield problem("operator", "this cluster knows no PyTorchJobs; install the Kubeflow training operator 1.9")
    else:
        yield unknown("operator", f"the cluster does not say what it knows: {answer.message}")


def check_admission(cluster: Cluster, template: JobTemplate) -> Iterator[Finding]:
    """Have the server go through the making of a job, and of one of its pods, without making them.

    That asks every webhook, the operator's among them, and Pod Security, quotas and limits of the namespace.
    """
    job = make_pytorchjob(template, "med42-doctor", ["--job", "s3://none"], labels={}, annotations={})
    jobs = f"/apis/{GROUP}/{VERSION}/namespaces/{{namespace}}/{PLURAL}?dryRun=All"
    yield _admission("job", Answer.of(cluster, jobs, job))
    pod = job["spec"]["pytorchReplicaSpecs"]["Master"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", **pod, "metadata": {**pod["metadata"], "name": "med42-doctor"}}
    yield _admission("pod", Answer.of(cluster, "/api/v1/namespaces/{namespace}/pods?dryRun=All", pod))
    if template.nodes > 1:
        yield _init_containers(cluster)


def _admission(what: str, answer: Answer) -> Finding:
    if answer.is_good:
        return ok("admission", f"the server would take a {what} of the template")
    if answer.status == HTTPStatus.NOT_FOUND or answer.is_hidden:
        return unknown("admission", f"whether the server would take a {what} of the template: {answer.message}")
    return problem("admission", f"the server would refuse a {what} of the template: {answer.message}")


def _init_containers(cluster: Cluster) -> Finding:
    """Say what the operator's own init container, which no dry run shows, would meet."""
    answer = Answer.of(cluster, "/api/v1/namespaces/{namespace}")
    if not answer.is_good:
        return unknown("admission", f"whether the namespace enforces Pod Security may not be read: {answer.message}")
    level = answer.body.get("metadata", {}).get("labels", {}).get("pod-security.kubernetes.io/enforce", "privileged")
    if level != "restricted":
        return ok(
            "admission", f"the namespace enforces Pod Security {level}, which the operator's init container passes"
        )
    return unknown(
        "admission",
        "the namespace enforces Pod Security restricted, and whether the operator has the init container of "
        "k8s/training_operator cannot be seen; its own does not pass",
    )


def check_images(cluster: Cluster, template: JobTemplate) -> Iterator[Finding]:
    """Look at the image that trains, and at pods of ours that wait for theirs."""
    image = str(template.container.get("image", ""))
    if "@sha256:" not in image:
        yield warning("images", f"{image} is not pinned by a digest, so two nodes may run different ones; pin it")
    nodes = Answer.of(cluster, "/api/v1/nodes")
    having = sum(image in _images_of(node) for node in nodes.body.get("items", ())) if nodes.is_good else 0
    if having:
        yield ok("images", f"{image} was pulled before by {having} nodes")
    else:
        yield unknown(
            "images",
            f"no node is known to have pulled {image}; try it as the image of k8s/doctor.yaml, whose pod a restricted "
            "namespace takes too",
        )
    yield from _waiting(
        Answer.of(cluster, "/api/v1/namespaces/{namespace}/pods?labelSelector=app.kubernetes.io/part-of%3Dmed42")
    )


def _images_of(node: Mapping[str, Any]) -> set[str]:
    return {name for image in node.get("status", {}).get("images") or () for name in image.get("names") or ()}


def _waiting(pods: Answer) -> Iterator[Finding]:
    for pod in pods.body.get("items", ()) if pods.is_good else ():
        for status in pod.get("status", {}).get("containerStatuses") or ():
            why = (status.get("state") or {}).get("waiting") or {}
            if why.get("reason") in _PULL_FAILURES:
                name, image = pod["metadata"]["name"], status.get("image")
                text = why.get("message") or why["reason"]
                yield problem("images", f"pod {name} waits for {image}: {text}; correct the image, or the pull Secret")
