"""What Kubeflow's launcher does in a component's container, mounted there and run as its first process.

    python kubeflow_launcher.py --executor_input JSON -- COMMAND…

It runs the command, puts what the command left at the artifacts' local paths into the pipeline's bucket, and the
executor output too, where the backend (`tests/cluster/kubeflow.py`) reads it. As with Kubeflow 2.17: every declared
output parameter has to be there, an artifact must not leave the pipeline's root, the exit code is 1 whatever the
command's was, and a command that is asked to stop is killed 0.6 s later.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

SECONDS_AFTER_SIGTERM = 0.6
EXIT_WHEN_STOPPED = 143
STORE_VARIABLES = ("KFP_ENDPOINT", "KFP_ACCESS_KEY", "KFP_SECRET_KEY")


def main() -> int:
    """Run the command and publish its outputs."""
    executor_input, command = json.loads(sys.argv[2]), sys.argv[4:]
    for path in _local_paths(executor_input["outputs"]):
        path.parent.mkdir(parents=True, exist_ok=True)
    if _run(command) != 0:
        return 1
    outputs = _read_outputs(executor_input["outputs"])
    _upload(executor_input["outputs"], outputs)
    return 0


def _run(command: list[str]) -> int:
    environment = {name: value for name, value in os.environ.items() if name not in STORE_VARIABLES}
    process = subprocess.Popen(command, env=environment, start_new_session=True)

    def stop(*_: object) -> None:
        os.killpg(process.pid, signal.SIGTERM)
        threading.Timer(SECONDS_AFTER_SIGTERM, lambda: os._exit(EXIT_WHEN_STOPPED)).start()

    signal.signal(signal.SIGTERM, stop)
    return process.wait()


def _local_paths(outputs: dict[str, Any]) -> list[Path]:
    paths = [Path(found["outputFile"]) for found in outputs.get("parameters", {}).values()]
    return [*paths, *_artifact_paths(outputs).values(), Path(outputs["outputFile"])]


def _artifact_paths(outputs: dict[str, Any]) -> dict[str, Path]:
    return {name: _local(found["artifacts"][0]["uri"]) for name, found in outputs.get("artifacts", {}).items()}


def _local(uri: str) -> Path:
    """Give the path inside the container that stands for minio://bucket/key."""
    return Path("/minio") / uri.removeprefix("minio://")


def _read_outputs(outputs: dict[str, Any]) -> dict[str, Any]:
    """Merge what the command wrote into its files; a declared output parameter that is missing fails the task."""
    path = Path(outputs["outputFile"])
    written = json.loads(path.read_text()) if path.exists() else {}
    values = written.setdefault("parameterValues", {})
    for name, found in outputs.get("parameters", {}).items():
        file = Path(found["outputFile"])
        if file.exists():
            values[name] = file.read_text()
        elif name not in values:
            raise SystemExit(f"failed to read output parameter {name}: open {file}: no such file or directory")
    return written


def _upload(outputs: dict[str, Any], written: dict[str, Any]) -> None:
    for name, artifact in outputs.get("artifacts", {}).items():
        declared = artifact["artifacts"][0]["uri"]
        for changed in written.get("artifacts", {}).get(name, {}).get("artifacts", []):
            if changed.get("uri", declared) != declared:
                raise SystemExit(f"artifact {name}: {changed['uri']} does not have the expected bucket prefix")
        if (path := _local(declared)).exists():
            _put(declared, path.read_bytes())
    _put(_output_uri(outputs), json.dumps(written).encode())


def _output_uri(outputs: dict[str, Any]) -> str:
    return f"minio://{outputs['outputFile'].removeprefix('/minio/')}"


def _put(uri: str, content: bytes) -> None:
    import boto3

    endpoint, access_key, secret_key = (os.environ[name] for name in STORE_VARIABLES)
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
    )
    bucket, _, key = uri.removeprefix("minio://").partition("/")
    client.put_object(Bucket=bucket, Key=key, Body=content)


if __name__ == "__main__":
    sys.exit(main())
