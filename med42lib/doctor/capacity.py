"""Whether the cluster has room for a job of the template: nodes of its kind, quotas, and the queue that it waits in."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from med42lib.doctor.cluster import Answer
from med42lib.doctor.finding import Finding, ok, problem, unknown, warning
from med42lib.train.launchers.cluster import Cluster, quantity
from med42lib.train.launchers.template import GROUP, PLURAL, QUEUE_LABEL, JobTemplate

_QUEUES = "kueue.x-k8s.io"
_KEEPS_PODS_OFF = ("NoSchedule", "NoExecute")
_FILLED_IN_BY = {
    "cpu": ("defaultRequest", "cpu"),
    "memory": ("defaultRequest", "memory"),
    "requests.cpu": ("defaultRequest", "cpu"),
    "requests.memory": ("defaultRequest", "memory"),
    "limits.cpu": ("default", "cpu"),
    "limits.memory": ("default", "memory"),
}
"""What every container has to say where a quota counts it, and what of a LimitRange says it in its place."""


def check_capacity(cluster: Cluster, template: JobTemplate) -> Iterator[Finding]:
    """Compare what a job asks for with what there is."""
    asked = _asked_by_a_pod(template)
    yield _check_nodes(Answer.of(cluster, "/api/v1/nodes"), template, asked)
    quotas = Answer.of(cluster, "/api/v1/namespaces/{namespace}/resourcequotas")
    yield from _check_quotas(cluster, quotas, template, asked)
    yield from _check_limit_ranges(cluster, quotas, template)
    if queue := template.labels.get(QUEUE_LABEL):
        yield _check_queue(cluster, queue)


def _asked_by_a_pod(template: JobTemplate) -> dict[str, Decimal]:
    """Add up what a pod's containers request; a limit stands for a request that is not there."""
    return _total([{**_part(each, "limits"), **_part(each, "requests")} for each in template.pod["spec"]["containers"]])


def _limits_of_a_pod(template: JobTemplate) -> dict[str, Decimal]:
    return _total([_part(each, "limits") for each in template.pod["spec"]["containers"]])


def _part(container: Mapping[str, Any], kind: str) -> Mapping[str, object]:
    return (container.get("resources") or {}).get(kind) or {}


def _total(amounts: Sequence[Mapping[str, object]]) -> dict[str, Decimal]:
    total: dict[str, Decimal] = {}
    for name, amount in (each for of_container in amounts for each in of_container.items()):
        total[name] = total.get(name, Decimal(0)) + quantity(amount)
    return total


def _check_nodes(answer: Answer, template: JobTemplate, asked: Mapping[str, Decimal]) -> Finding:
    what = ", ".join(f"{name} {amount:f}" for name, amount in sorted(asked.items()) if "/" in name) or "its resources"
    if not answer.is_good:
        return unknown("nodes", f"they may not be listed: {answer.message}; see kubectl describe nodes for {what}")
    spec = template.pod["spec"]
    nodes = [node for node in answer.body.get("items", ()) if _is_for(node, spec)]
    fitting = sum(_pods_held(node, asked) for node in nodes)
    text = f"the {len(nodes)} nodes that the template may use could hold {fitting} pods of {what}"
    if fitting >= template.nodes:
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


def _pods_held(node: Mapping[str, Any], asked: Mapping[str, Decimal]) -> int:
    """Count the pods that an empty node has room for; a node also says how many it takes of any."""
    whole = node.get("status", {}).get("allocatable") or {}
    of_a_pod = {**asked, "pods": Decimal(1)}
    return min(int(quantity(whole.get(name, 0)) // amount) for name, amount in of_a_pod.items() if amount)


def _check_quotas(
    cluster: Cluster, answer: Answer, template: JobTemplate, asked: Mapping[str, Decimal]
) -> Iterator[Finding]:
    if not answer.is_good:
        yield unknown("quota", f"quotas of {cluster.namespace} may not be listed: {answer.message}")
        return
    needed = _needed(template, asked)
    found = [finding for quota in answer.body.get("items", ()) for finding in _quota_findings(quota, needed)]
    yield from found or [
        ok("quota", f"no quota of {cluster.namespace} is in the way of a job of {template.nodes} nodes")
    ]


def _needed(template: JobTemplate, asked: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Work out what a whole job takes of quotas, by the names that they have for it; each pod has a Service."""
    of_a_pod = dict.fromkeys(("pods", "count/pods", "services", "count/services"), Decimal(1))
    for name, amount in asked.items():
        of_a_pod[f"requests.{name}"] = amount
        if "/" not in name:
            of_a_pod[name] = amount
    of_a_pod |= {f"limits.{name}": amount for name, amount in _limits_of_a_pod(template).items() if "/" not in name}
    of_all_pods = {name: amount * template.nodes for name, amount in of_a_pod.items()}
    return {f"count/{PLURAL}.{GROUP}": Decimal(1), **of_all_pods}


def _is_of_all_pods(quota: Mapping[str, Any]) -> bool:
    spec = quota.get("spec") or {}
    return not spec.get("scopes") and not spec.get("scopeSelector")


def _hard(quota: Mapping[str, Any]) -> Mapping[str, str]:
    return (quota.get("status") or {}).get("hard") or {}


def _check_limit_ranges(cluster: Cluster, quotas: Answer, template: JobTemplate) -> Iterator[Finding]:
    answer = Answer.of(cluster, "/api/v1/namespaces/{namespace}/limitranges")
    if not answer.is_good:
        yield unknown("limits", f"LimitRanges of {cluster.namespace} may not be listed: {answer.message}")
        return
    given = [limit for each in answer.body.get("items", ()) for limit in each["spec"]["limits"]]
    of_a_container = [limit for limit in given if limit["type"] == "Container"]
    yield from _check_defaults(cluster, quotas, of_a_container)
    for container, limit in itertools.product(template.pod["spec"]["containers"], of_a_container):
        yield from _limit_findings(container, limit)


def _check_defaults(cluster: Cluster, quotas: Answer, limits: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Look whether a container may start that does not say what quotas count: the pipeline's step `train` has none."""
    given = {(kind, name) for each in limits for kind in ("default", "defaultRequest") for name in each.get(kind) or ()}
    of_all_pods = filter(_is_of_all_pods, quotas.body.get("items", ()))
    counted = {name for quota in of_all_pods for name in _hard(quota)} & _FILLED_IN_BY.keys()
    if missing := sorted(name for name in counted if _FILLED_IN_BY[name] not in given):
        yield problem(
            "quota",
            f"quotas of {cluster.namespace} count {', '.join(missing)}, so a container that does not say them is "
            "refused, as that of the pipeline's step train; make a LimitRange with default and defaultRequest for them",
        )


def _limit_findings(container: Mapping[str, Any], limit: Mapping[str, Any]) -> Iterator[Finding]:
    """Compare a container with a LimitRange, whose default, or else its maximum, is given to one without a limit."""
    own, most = _part(container, "limits"), limit.get("max") or {}
    filled_in = {**most, **(limit.get("default") or {})}
    for name, amount in {**_part(container, "requests"), **own}.items():
        allowed = (most if name in own else filled_in).get(name)
        if allowed is not None and quantity(amount) > quantity(allowed):
            yield problem(
                "limits",
                f"the template's container {container['name']} asks for {name} {amount}, and a LimitRange allows "
                f"{allowed}, so its pods are refused; "
                + ("ask for less, or have it raised" if name in own else f"give it limits.{name} of its own"),
            )


def _quota_findings(quota: Mapping[str, Any], needed: Mapping[str, Decimal]) -> Sequence[Finding]:
    name, hard, used = quota["metadata"]["name"], _hard(quota), (quota.get("status") or {}).get("used") or {}
    if not _is_of_all_pods(quota):
        return [
            unknown("quota", f"{name} is of some pods alone, by its scopes, and is not compared; look whether of ours")
        ]
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
