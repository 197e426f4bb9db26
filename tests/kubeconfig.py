"""The file by which clients find a Kubernetes API server that a test plays."""

import json
from pathlib import Path
from typing import Any


def write_kubeconfig(path: Path, server: str, namespace: str) -> Path:
    """Write the file; returns its path."""
    user: Any = {"name": "u", "user": {"token": "a-token"}}
    cluster = {"name": "c", "cluster": {"server": server}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u", "namespace": namespace}}
    config = {"current-context": "x", "users": [user], "clusters": [cluster], "contexts": [context]}
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **config}))
    return path
