"""A double of the API of Kubeflow Pipelines, v2beta1, over HTTP: it refuses what the server would, and plays a run."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests import http_server
from tests.http_server import QuietHandler

API = "/apis/v2beta1"


@dataclass
class KubeflowDouble:
    """What the server knows and does.

    `states` are those of a run at each look, the last one for ever, with the states of its tasks. An int in place of
    one is a status that the server answers with instead.
    """

    token: str | None = None
    states: list[tuple[str, dict[str, str]] | int] = field(default_factory=lambda: [("SUCCEEDED", {})])
    multi_user: bool = False
    experiments: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    looks: int = 0
    version: dict[str, str] = field(default_factory=dict)
    """What it says of its version: `tag_name`, or `apiServerTagName` as the user interface does."""
    made_meanwhile: bool = False
    """Whether somebody else makes an experiment just after it was found to be none."""
    address: str = ""

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if (method, path) == ("GET", f"{API}/healthz"):
            return 200, {"multi_user": self.multi_user, **self.version}
        if (method, path) == ("GET", f"{API}/experiments"):
            [wanted] = json.loads(query["filter"][0])["predicates"]
            found = [each for each in self.experiments if each["display_name"] == wanted["stringValue"]]
            if self.made_meanwhile and not found:
                self.experiments.append(
                    {"display_name": wanted["stringValue"], "experiment_id": "experiment-of-another"}
                )
            return 200, {"experiments": found, "total_size": len(found)} if found else {}
        if (method, path) == ("POST", f"{API}/experiments"):
            if self.multi_user and not body.get("namespace"):
                return 400, problem("a namespace is required")
            if self.experiments and self.experiments[-1]["display_name"] == body["display_name"]:
                return 409, problem(f"The name {body['display_name']} already exists")
            self.experiments.append({**body, "experiment_id": f"experiment-{len(self.experiments)}"})
            return 200, self.experiments[-1]
        if (method, path) == ("POST", f"{API}/runs"):
            return self._create_run(body)
        if method == "GET" and path.startswith(f"{API}/runs/"):
            return self._run(path.rpartition("/")[2])
        return 404, problem(f"no such method: {path}")

    def _create_run(self, body: dict[str, Any]) -> tuple[int, Any]:
        pipeline = body["pipeline_spec"]["pipeline_spec"]
        assert body["pipeline_spec"]["platform_spec"]["platforms"]["kubernetes"]
        wanted = pipeline["root"]["inputDefinitions"]["parameters"]
        given = {name: p["defaultValue"] for name, p in wanted.items() if "defaultValue" in p}
        given |= body["runtime_config"]["parameters"]
        if given.keys() != wanted.keys():
            return 400, problem(f"parameters {sorted(given)} are not {sorted(wanted)}")
        self.runs.append({**body, "run_id": f"run-{len(self.runs)}"})
        return 200, self.runs[-1]

    def _run(self, run_id: str) -> tuple[int, Any]:
        [found] = [run for run in self.runs if run["run_id"] == run_id] or [None]
        if found is None:
            return 404, problem(f"there is no run {run_id}")
        now = self.states[min(self.looks, len(self.states) - 1)]
        self.looks += 1
        if isinstance(now, int):
            return now, problem("the server is busy")
        state, tasks = now
        details = [{"task_id": name, "display_name": name, "state": each} for name, each in tasks.items()]
        shown = {name: found[name] for name in ("run_id", "display_name", "experiment_id")}
        return 200, {**shown, "state": state, "run_details": {"task_details": details}}


def problem(message: str) -> dict[str, Any]:
    return {"error": message, "code": 3, "message": message, "details": []}


def _handler(double: KubeflowDouble) -> type[QuietHandler]:
    class Handler(QuietHandler):
        def do_GET(self) -> None:
            self._answer("GET")

        def do_POST(self) -> None:
            self._answer("POST")

        def _answer(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            address = urlsplit(self.path)
            if double.token and self.headers.get("Authorization") != f"Bearer {double.token}":
                status, answer = 401, problem("Request header error: there is no valid token")
            else:
                values = json.loads(body) if body else None
                status, answer = double.answer(method, address.path, parse_qs(address.query), values)
            self.answer(status, json.dumps(answer).encode())

    return Handler


@contextmanager
def serving(double: KubeflowDouble) -> Iterator[KubeflowDouble]:
    with http_server.serving(_handler(double)) as double.address:
        yield double
