"""`make demo-docker`: the demo in its containers, with a real S3 and a real MLflow server on this machine."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from med42lib.core.errors import Med42Error
from med42lib.spec_check import load_checked
from med42lib.store.address import open_store
from med42lib.store.backends.s3 import make_client
from pipelines.arguments import pipeline_arguments
from pipelines.local import conclude
from pipelines.med42 import med42
from tests.conftest import REPOSITORY
from tests.docker_runner import check_docker, run_in_docker
from tests.mlflow_server import mlflow_server_in
from tests.s3_server import s3_server

BUCKET = "med42-demo"


def main() -> int:
    """Run the demo; returns the exit code."""
    started = time.monotonic()
    spec = load_checked(REPOSITORY / "pipelines/specs/demo.yaml", processes=2)
    pipeline = med42(list(spec.train), shards=spec.shards())
    try:
        check_docker(pipeline).close()
    except Med42Error as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    with _servers() as environment:
        encoder = _uploaded(spec.inputs.encoder, f"s3://{BUCKET}/inputs/encoder")
        arguments = {**pipeline_arguments(spec), "encoder": encoder, "store": f"s3://{BUCKET}/runs"}
        report = run_in_docker(pipeline, arguments, environment)
        if report is None:
            return 1
        conclude(report, time.monotonic() - started)
        print("S3 and MLflow server end now")
    return 0


@contextmanager
def _servers() -> Iterator[dict[str, str]]:
    """Run both servers, with a bucket; gives what their clients need, and sets it here."""
    with (
        tempfile.TemporaryDirectory(prefix="med42-demo-docker-") as folder,
        s3_server() as s3,
        mlflow_server_in(Path(folder)) as mlflow,
    ):
        environment = {**s3.environment, "MLFLOW_TRACKING_URI": mlflow.address}
        os.environ.update(environment)
        make_client().create_bucket(Bucket=BUCKET)
        yield environment


def _uploaded(source: str, target: str) -> str:
    """Put an input that no image has where the containers reach it; returns its address there."""
    here, there = open_store(source), open_store(target)
    for name in here.files():
        path = here.local_path(name)
        assert path is not None, f"{source} is on this machine"
        there.put(name, path)
    return target


if __name__ == "__main__":
    sys.exit(main())
