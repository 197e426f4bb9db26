"""A hub of one repository on this machine: as much of its HTTP interface as the real client asks for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import http_server
from tests.http_server import QuietHandler

REPO = "some-lab/tiny-llama"
REVISION = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What the hub holds, as `models` or `datasets`, whom it lets in, and which files it was asked for."""

    files: Mapping[str, bytes]
    kind: str = "models"
    large: frozenset[str] = frozenset()
    token: str = ""
    failing_status: int = 0
    endpoint: str = ""
    served: list[str] = field(default_factory=list)


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve the hub while the block runs."""
    with http_server.serving(_handler(hub)) as hub.endpoint:
        yield hub


def point_client_at(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Send the client, which reads most of its settings when it is first imported, to a hub on this machine."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def _handler(hub: Hub) -> type[QuietHandler]:
    class Handler(QuietHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            if hub.failing_status:
                self._send(hub.failing_status, {}, b"", with_body)
            elif path.startswith("/api/"):
                self._describe(path, with_body)
            else:
                self._serve(path, with_body)

        def _describe(self, path: str, with_body: bool) -> None:
            if path == f"/api/{hub.kind}/{REPO}/revision/{REVISION}":
                self._send(200, {"Content-Type": "application/json"}, json.dumps(_info(hub)).encode(), with_body)
            elif path.startswith(f"/api/{hub.kind}/{REPO}/"):
                self._send(404, {"X-Error-Code": "RevisionNotFound"}, b"", with_body)
            else:
                self._send(401, {"X-Error-Code": "RepoNotFound"}, b"", with_body)

        def _serve(self, path: str, with_body: bool) -> None:
            repository = REPO if hub.kind == "models" else f"{hub.kind}/{REPO}"
            name = path.removeprefix(f"/{repository}/resolve/{REVISION}/")
            if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
                self._send(403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"}, b"", with_body)
            elif name not in hub.files:
                self._send(404, {"X-Error-Code": "EntryNotFound"}, b"", with_body)
            else:
                if with_body:
                    hub.served.append(name)
                headers = {"X-Repo-Commit": REVISION, "ETag": f'"{_blob(hub.files[name])}"'}
                self._send(200, headers, hub.files[name], with_body)

        def _send(self, status: int, headers: Mapping[str, str], body: bytes, with_body: bool) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

    return Handler


def _info(hub: Hub) -> dict[str, object]:
    return {"id": REPO, "sha": REVISION, "siblings": [_sibling(hub, name) for name in hub.files]}


def _sibling(hub: Hub, name: str) -> dict[str, object]:
    content = hub.files[name]
    sibling: dict[str, object] = {"rfilename": name, "size": len(content), "blobId": _blob(content)}
    if name in hub.large:
        sha256 = hashlib.sha256(content).hexdigest()
        sibling["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 134}
    return sibling


def _blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
