"""Whether the cluster has room for a job of the template: nodes of its kind, quotas, and the queue that it waits in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from med42lib.doctor.cluster import Answer
from med42lib.doctor.finding import Finding, ok, problem, unknown, warning
from med42lib.train.launchers.cluster import Cluster, quantity
from med42lib.train.launchers.template import QUEUE_LABEL, JobTemplate

_QUEUES = "kueue.x-k8s.io"
_KEEPS_PODS_OFF = ("NoSchedule", "NoExecute")


def check_capacity(cluster: Cluster, template: JobTemplate) -> Iterator[Finding]:
    """Compare what a job asks for with what there is."""
    asked = _asked_by_a_pod(template)
    yield _check_nodes(Answer.of(cluster, "/api/v1/nodes"), template, asked)
    yield from _check_quotas(cluster, template, asked)
    if queue := template.labels.get(QUEUE_LABEL):
        yield _check_queue(cluster, queue)


def _asked_by_a_pod(template: JobTemplate) -> dict[str, Decimal]:
    """Add up what a pod's containers request; a limit stands for a request that is not there."""
    total: dict[str, Decimal] = {}
    for container in template.pod["spec"]["containers"]:
        resources = container.get("resources") or {}
        asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        for name, amount in asked.items():
            total[name] = total.get(name, Decimal(0)) + quantity(amount)
    return total


def _check_nodes(answer: Answer, template: JobTemplate, asked: Mapping[str, Decimal]) -> Finding:
    what = ", ".join(f"{name} {amount:f}" for name, amount in sorted(asked.items()) if "/" in name) or "its resources"
    if not answer.is_good:
        return unknown("nodes", f"they may not be listed: {answer.message}; see kubectl describe nodes for {what}")
    spec = template.pod["spec"]
    nodes = [node for node in answer.body.get("items", ()) if _is_for(node, spec)]
    fitting = [node for node in nodes if _holds(node, asked)]
    text = f"{len(fitting)} of {len(nodes)} nodes that the template may use could hold a pod of {what}"
    if len(fitting) >= template.nodes:
        return ok("nodes", f"{text}; a job needs {template.nodes}")
    return warning(
        "nodes",
        f"{text}, but a job needs {template.nodes}: it will wait unless an autoscaler adds nodes; change nodes, "
        f"resources, nodeSelector {spec.get('nodeSelector', {})} or tolerations of the template",
    )


def _is_for(node: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    labels, spec = node["metadata"].get("labels") or {}, node.get("spec") or {}
    chosen = (pod.get("nodeSelector") or {}).items() <= labels.items()
    taints = [taint for taint in spec.get("taints") or () if taint["effect"] in _KEEPS_PODS_OFF]
    tolerated = all(any(_tolerates(each, taint) for each in pod.get("tolerations") or ()) for taint in taints)
    return chosen and tolerated and not spec.get("unschedulable")


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    of_any_key = not toleration.get("key")
    same_value = toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", "")
    same_effect = toleration.get("effect") in (None, "", taint["effect"])
    return same_effect and same_value and (of_any_key or toleration["key"] == taint["key"])


def _holds(node: Mapping[str, Any], asked: Mapping[str, Decimal]) -> bool:
    free = node.get("status", {}).get("allocatable") or {}
    return all(name in free and quantity(free[name]) >= amount for name, amount in asked.items())


def _check_quotas(cluster: Cluster, template: JobTemplate, asked: Mapping[str, Decimal]) -> Iterator[Finding]:
    answer = Answer.of(cluster, "/api/v1/namespaces/{namespace}/resourcequotas")
    if not answer.is_good:
        yield unknown("quota", f"quotas of {cluster.namespace} may not be listed: {answer.message}")
        return
    needed = {"pods": Decimal(template.nodes)}
    for name, amount in asked.items():
        needed[f"requests.{name}"] = amount * template.nodes
        if "/" not in name:
            needed[name] = amount * template.nodes
    found = [finding for quota in answer.body.get("items", ()) for finding in _quota_findings(quota, needed)]
    yield from found or [
        ok("quota", f"no quota of {cluster.namespace} is in the way of a job of {template.nodes} nodes")
    ]


def _quota_findings(quota: Mapping[str, Any], needed: Mapping[str, Decimal]) -> Sequence[Finding]:
    name, status = quota["metadata"]["name"], quota.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    found = []
    for resource, amount in sorted(needed.items()):
        if resource not in hard:
            continue
        text = f"{name} allows {resource} {hard[resource]}, and a job of the template needs {amount:f}"
        if quantity(hard[resource]) < amount:
            found.append(problem("quota", f"{text}; ask for more, or make the job smaller"))
        elif quantity(hard[resource]) - quantity(used.get(resource, 0)) < amount:
            found.append(warning("quota", f"{text}, of which {used[resource]} is in use: the job will wait"))
    return found


def _check_queue(cluster: Cluster, queue: str) -> Finding:
    kueue = Answer.of(cluster, f"/apis/{_QUEUES}")
    if kueue.status == HTTPStatus.NOT_FOUND:
        return problem(
            "queue", f"the template names the queue {queue}, but the cluster has no Kueue; install it, or drop it"
        )
    if not kueue.is_good:
        return unknown("queue", f"whether the cluster has Kueue: {kueue.message}")
    version = kueue.body["preferredVersion"]["version"]
    answer = Answer.of(cluster, f"/apis/{_QUEUES}/{version}/namespaces/{{namespace}}/localqueues/{queue}")
    if answer.status == HTTPStatus.NOT_FOUND:
        return problem("queue", f"there is no LocalQueue {queue} in {cluster.namespace}; apply k8s/components/kueue")
    if not answer.is_good:
        return unknown("queue", f"LocalQueue {queue} may not be read: {answer.message}")
    active = [each for each in answer.body.get("status", {}).get("conditions") or () if each["type"] == "Active"]
    if active and active[0]["status"] != "True":
        return problem(
            "queue", f"LocalQueue {queue} admits nothing: {active[0].get('message', '')}; make its ClusterQueue"
        )
    return ok("queue", f"LocalQueue {queue} is there")
