"""A Kubernetes API server's part in a training, over real HTTP: PyTorchJobs, pods, logs, events, and bad hours.

It answers as the real one does (Status objects, chunked watches that begin with what is there) and refuses what the
training operator's webhook refuses. Nothing happens by itself: a test is the operator.
"""

import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.http_server import QuietHandler, serving
from tests.kubeconfig import write_kubeconfig
from tests.real_crd import CRD, problems, read_schema

NAMESPACE = "training"
JOBS = f"/apis/kubeflow.org/v1/namespaces/{NAMESPACE}/pytorchjobs"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
EVENTS = f"/api/v1/namespaces/{NAMESPACE}/events"
WORKFLOWS = f"/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/workflows"
DROPPED = "the connection is dropped without an answer"
HALF = "the connection is dropped in the middle of a line"
FOREIGN = "a proxy on the way answers with a page that is not in UTF-8"
GONE = "the watch is told that its version is gone"
SILENT = "the request is taken, and never answered"
Fault = int | str
Object = dict[str, Any]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def log_time() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}{time.monotonic_ns() % 1000:03}Z"


@dataclass
class KubernetesApi:
    """The server's state, which a test may change at any time by its methods."""

    jobs: dict[str, Object] = field(default_factory=dict)
    workflows: dict[str, Object] = field(default_factory=dict)
    """Of Argo; the kind is not known while there are none."""
    pods: dict[str, Object] = field(default_factory=dict)
    events: list[Object] = field(default_factory=list)
    logs: dict[str, list[str]] = field(default_factory=dict)
    earlier_logs: dict[str, str] = field(default_factory=dict)
    ended_logs: set[str] = field(default_factory=set)
    dropped_at: list[str] = field(default_factory=list)
    """Lines of logs after which the connection was dropped, each once."""
    requests: list[tuple[str, str]] = field(default_factory=list)
    faults: list[tuple[str, str, Fault]] = field(default_factory=list)
    """Method, part of the address, and what goes wrong: each once, in this order."""
    changed: threading.Condition = field(default_factory=threading.Condition)
    ended: threading.Event = field(default_factory=threading.Event)
    version: int = 0
    address: str = ""
    on_create: Callable[[str], None] | None = None
    schema: Object | None = field(default_factory=lambda: read_schema() if CRD.is_file() else None)

    def write_kubeconfig(self, path: Path) -> Path:
        return write_kubeconfig(path, self.address, NAMESPACE)

    def put_job(self, job: Object) -> None:
        self._put(self.jobs, job)

    def put_workflow(self, name: str, **spec: Any) -> None:
        self._put(self.workflows, {"metadata": {"name": name}, "spec": spec})

    def _put(self, objects: dict[str, Object], new: Object) -> None:
        with self.changed:
            self.version += 1
            new["metadata"]["resourceVersion"] = str(self.version)
            objects[new["metadata"]["name"]] = new
            self.changed.notify_all()

    def remove_job(self, name: str) -> None:
        with self.changed:
            self.version += 1
            del self.jobs[name]
            for pod in [pod for pod in self.pods if pod.startswith(f"{name}-")]:
                del self.pods[pod]
                self.ended_logs.add(pod)
            self.changed.notify_all()

    def set_condition(self, name: str, kind: str, message: str = "", *, active: int | None = None) -> None:
        """Say what the operator would: conditions that exclude each other, and how many pods run."""
        job = json.loads(json.dumps(self.jobs[name]))
        status = job.setdefault("status", {"conditions": []})
        excluded = {"Running": ("Suspended",), "Suspended": ("Running",)}.get(kind, ("Running",))
        for condition in status["conditions"]:
            if condition["type"] in excluded:
                condition["status"] = "False"
        kept = [condition for condition in status["conditions"] if condition["type"] != kind]
        new = {"type": kind, "status": "True", "message": message, "lastTransitionTime": now()}
        status["conditions"] = [*kept, new]
        if active is not None:
            status["replicaStatuses"] = {"Master": {"active": min(active, 1)}, "Worker": {"active": max(active - 1, 0)}}
        self.put_job(job)

    def put_pod(
        self,
        job: str,
        role: str,
        phase: str,
        *,
        restarts: int = 0,
        waits: tuple[str, str] | None = None,
        ended: tuple[str, int] | None = None,
        evicted: str = "",
        leaves_at: datetime | None = None,
        uid: str = "the only",
    ) -> None:
        """Say what the kubelet would: also how its container ended the last time, and why it was evicted."""
        name = f"{job}-{role}"
        state = {"waiting": {"reason": waits[0], "message": waits[1]}} if waits else {"running": {"startedAt": now()}}
        container = {
            "name": "pytorch",
            "image": "i",
            "imageID": "",
            "ready": True,
            "restartCount": restarts,
            "state": state,
            "lastState": {"terminated": {"reason": ended[0], "exitCode": ended[1]}} if ended else {},
        }
        labels = {"training.kubeflow.org/job-name": job}
        metadata: Object = {"name": name, "namespace": NAMESPACE, "labels": labels, "uid": f"{uid} {name}"}
        if leaves_at:
            metadata["deletionTimestamp"] = leaves_at.isoformat()
        spec = {"containers": [], "nodeName": f"node-of-{role}"}
        status: Object = {"phase": phase, "containerStatuses": [container]}
        if evicted:
            status |= {"reason": "Evicted", "message": evicted}
        self.pods[name] = {"metadata": metadata, "spec": spec, "status": status}
        self.logs.setdefault(name, [])

    def put_driver(self, name: str, owners: list[Object]) -> None:
        """Have a pod, of no job, that objects own."""
        self.pods[name] = {"metadata": {"name": name, "labels": {}, "ownerReferences": owners}, "status": {}}

    def warn(self, about: str, reason: str, message: str) -> None:
        event = {"metadata": {"name": f"{about}.{len(self.events)}"}, "type": "Warning", "lastTimestamp": now()}
        of = {"name": about, "uid": {**self.jobs, **self.pods}[about]["metadata"]["uid"]}
        self.events.append({**event, "reason": reason, "message": message, "involvedObject": of})

    def write_log(self, pod: str, *lines: str) -> None:
        with self.changed:
            self.logs.setdefault(pod, []).extend(f"{log_time()} {line}\n" for line in lines)
            self.changed.notify_all()

    def asked(self, method: str, part: str) -> int:
        return sum(1 for used, path in list(self.requests) if used == method and part in path)


def _seconds_of(line: str) -> float:
    try:
        return datetime.fromisoformat(line.split(" ")[0]).timestamp()
    except ValueError:  # a line that a test has damaged
        return math.inf


class _Handler(QuietHandler):
    protocol_version = "HTTP/1.1"
    api: KubernetesApi

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._goes_wrong():
            return
        name = body["metadata"]["name"]
        if refused := list(self._refused(body)):
            self._fail(400, "BadRequest", f'admission webhook "validator.pytorchjob" denied the request: {refused}')
        elif name in self.api.jobs:
            self._fail(409, "AlreadyExists", f'pytorchjobs.kubeflow.org "{name}" already exists')
        else:
            body["metadata"] |= {"uid": f"u-{self.api.version}", "creationTimestamp": now()}
            self.api.put_job(body)
            self._answer(201, body)
            if self.api.on_create:
                self.api.on_create(name)

    def _refused(self, job: Object) -> Iterator[str]:
        if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", job["metadata"]["name"]):
            yield "the name is no DNS label"
        if self.api.schema:
            yield from problems(self.api.schema, job)
        for role, replicas in job["spec"]["pytorchReplicaSpecs"].items():
            containers = replicas["template"]["spec"]["containers"]
            if role not in ("Master", "Worker") or "pytorch" not in [container["name"] for container in containers]:
                yield f"replica {role} has no container named pytorch"

    def do_DELETE(self) -> None:
        if length := int(self.headers.get("Content-Length") or 0):
            self.rfile.read(length)
        if self._goes_wrong():
            return
        name = urlsplit(self.path).path.removeprefix(f"{JOBS}/")
        if name not in self.api.jobs:
            self._fail(404, "NotFound", f'pytorchjobs.kubeflow.org "{name}" not found')
        else:
            self.api.remove_job(name)
            self._answer(200, {"kind": "Status", "status": "Success"})

    def do_GET(self) -> None:
        if self._goes_wrong():
            return
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        if address.path == JOBS and query.get("watch"):
            self._watch(self.api.jobs, query)
        elif address.path == WORKFLOWS and self.api.workflows and query.get("watch"):
            self._watch(self.api.workflows, query)
        elif address.path == JOBS:
            key, _, value = query["labelSelector"].partition("=")
            found = [job for job in self.api.jobs.values() if job["metadata"]["labels"].get(key) == value]
            self._answer(200, {"kind": "PyTorchJobList", "items": found})
        elif address.path.startswith(f"{JOBS}/"):
            self._get(self.api.jobs, address.path.removeprefix(f"{JOBS}/"))
        elif address.path == PODS:
            key, _, value = query["labelSelector"].partition("=")
            found = [pod for pod in self.api.pods.values() if pod["metadata"]["labels"].get(key) == value]
            self._answer(200, {"kind": "PodList", "items": found})
        elif address.path == EVENTS:
            key, _, value = query["fieldSelector"].removeprefix("involvedObject.").partition("=")
            found = [event for event in self.api.events if event["involvedObject"][key] == value]
            self._answer(200, {"kind": "EventList", "items": found})
        elif match := re.fullmatch(rf"{PODS}/([^/]+)/log", address.path):
            self._log(match[1], query)
        elif address.path.startswith(f"{PODS}/"):
            self._get(self.api.pods, address.path.removeprefix(f"{PODS}/"))
        else:
            self._fail(404, "NotFound", "the server could not find the requested resource")

    def _get(self, objects: Mapping[str, Object], name: str) -> None:
        if name in objects:
            self._answer(200, objects[name])
        else:
            self._fail(404, "NotFound", f'"{name}" not found')

    def _watch(self, objects: Mapping[str, Object], query: Mapping[str, str]) -> None:
        name, api = query["fieldSelector"].removeprefix("metadata.name="), self.api
        give_up = time.monotonic() + int(query["timeoutSeconds"])
        sent: str | None = None
        self._start_chunks("application/json")
        while (left := give_up - time.monotonic()) > 0:
            with api.changed:
                found = objects.get(name)
                if sent == (found["metadata"]["resourceVersion"] if found else None):
                    api.changed.wait(left)
                    continue
            if found is None:
                event: Object = {"type": "DELETED", "object": {"metadata": {"name": name}}}
            else:
                event = {"type": "ADDED" if sent is None else "MODIFIED", "object": found}
            sent = found["metadata"]["resourceVersion"] if found else None
            if not self._chunk(json.dumps(event) + "\n"):
                return
        self._chunk("")

    def _log(self, pod: str, query: Mapping[str, str]) -> None:
        api = self.api
        if pod not in api.pods:
            self._fail(404, "NotFound", f'pods "{pod}" not found')
        elif "container" not in query:  # as of a pod that was given a second one
            self._fail(400, "BadRequest", f"a container name must be specified for pod {pod}")
        elif query.get("previous") == "True":
            self.answer(200, api.earlier_logs.get(pod, "").encode(), "text/plain")
        elif query.get("follow") != "True":
            lines = [line.partition(" ")[2] for line in api.logs[pod]]
            tail = "".join(lines[-int(query.get("tailLines", 1000)) :])
            self.answer(200, tail.encode(), "text/plain")
        else:
            self._follow(pod, query)

    def _follow(self, pod: str, query: Mapping[str, str]) -> None:
        """Send lines until the container ends, from the second of `sinceSeconds` on."""
        api, place = self.api, 0
        self._start_chunks("text/plain")
        since = time.time() - int(query.get("sinceSeconds", 10**6))
        while True:
            with api.changed:
                new, place = api.logs[pod][place:], len(api.logs[pod])
                ended = pod in api.ended_logs
                if not new and not ended:
                    api.changed.wait(0.1)
            for line in new:
                if _seconds_of(line) >= since and not self._chunk(line):
                    return
                if line.endswith(f"{DROPPED}\n") and line not in api.dropped_at:
                    api.dropped_at.append(line)
                    self.close_connection = True
                    return
            if ended:
                self._chunk("")
                return

    def _goes_wrong(self) -> bool:
        """Do what the test has in store for such a request, once."""
        self.api.requests.append((self.command, self.path))
        for fault in self.api.faults:
            method, part, what = fault
            if method == self.command and part in self.path:
                self.api.faults.remove(fault)
                self._do_wrong(what)
                return True
        return False

    def _do_wrong(self, what: Fault) -> None:
        if isinstance(what, int):
            self._fail(what, "Ill", f"made to answer {what}")
            return
        if what == GONE:
            self._start_chunks("application/json")
            status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
            self._chunk(json.dumps({"type": "ERROR", "object": status}) + "\n")
        if what == FOREIGN:
            self.answer(502, "<h1>Passerelle défectueuse</h1>".encode("latin-1"), "text/html")
        if what == SILENT:
            self.api.ended.wait()
        if what == HALF:
            self._start_chunks("application/json")
            self._chunk('{"type": "MODIFIED", "obj')
        self.close_connection = True

    def _fail(self, code: int, reason: str, message: str) -> None:
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        self._answer(code, {**status, "message": message, "reason": reason, "code": code})

    def _answer(self, code: int, body: Object) -> None:
        self.answer(code, json.dumps(body).encode())

    def _start_chunks(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _chunk(self, text: str) -> bool:
        """Send a piece, the last if it is empty; False if nobody listens any more."""
        content = text.encode()
        try:
            self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
            self.wfile.flush()
        except OSError:
            self.close_connection = True
            return False
        return True


@contextmanager
def kubernetes_api() -> Iterator[KubernetesApi]:
    """Serve until the block ends."""
    api = KubernetesApi()
    with serving(type("Handler", (_Handler,), {"api": api})) as api.address:
        yield api
        api.ended.set()
