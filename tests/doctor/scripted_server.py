"""An HTTP server that answers as a test says: a Kubernetes API server, MLflow, or the clock of a store."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.http_server import QuietHandler, serving

Answer = tuple[int, Any]
NOT_FOUND: Answer = (404, {"message": "not found"})


@dataclass
class Scripted:
    """What is answered: by address without a query, to POST by what is posted."""

    address: str = ""
    answers: dict[str, Answer | Callable[[Any], Answer]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    seen: list[tuple[str, str | None]] = field(default_factory=list)
    """Addresses with their queries, and the header Authorization."""

    def answer(self, path: str, body: Any) -> Answer:
        found = self.answers.get(path.partition("?")[0], NOT_FOUND)
        return found(body) if callable(found) else found


class _Handler(QuietHandler):
    scripted: Scripted

    def date_time_string(self, timestamp: float | None = None) -> str:
        return self.scripted.headers.get("Date") or super().date_time_string(timestamp)

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body: Any) -> None:
        self.scripted.seen.append((self.path, self.headers["Authorization"]))
        status, values = self.scripted.answer(self.path, body)
        self.answer(status, (values if isinstance(values, str) else json.dumps(values)).encode())


@contextmanager
def scripted_server() -> Iterator[Scripted]:
    scripted = Scripted()
    with serving(type("Handler", (_Handler,), {"scripted": scripted})) as scripted.address:
        yield scripted
