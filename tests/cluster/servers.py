"""What a cluster has besides Kubernetes: a store that speaks S3, and MLflow's server on PostgreSQL.

Pods reach them at the addresses that this machine uses too, and as the Services s3 and mlflow of namespace servers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from tests.cluster import node, sandbox
from tests.cluster.node import Daemon
from tests.cluster.sandbox import NODE_ADDRESS, ClusterError
from tests.s3_server import ACCESS_KEY, SECRET_KEY, server_command

S3_PORT, MLFLOW_PORT = 8333, 5000
S3_ENDPOINT, MLFLOW_URI = f"http://{NODE_ADDRESS}:{S3_PORT}", f"http://{NODE_ADDRESS}:{MLFLOW_PORT}"
S3_ENVIRONMENT = {
    "AWS_ENDPOINT_URL": S3_ENDPOINT,
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_REGION": "us-east-1",
}
_POSTGRES_FOLDER = "/var/lib/postgresql"  # of the namespaces, in memory
_DATABASE = "postgresql+psycopg2://postgres@127.0.0.1/postgres"


def start_servers(say: Callable[[str], None]) -> None:
    """Start what does not run yet."""
    node.start(_s3(), say)
    say("makes the bucket mlflow")
    sandbox.wait_for("a bucket to be made", _bucket_is_there, program="s3")
    if not sandbox.is_running("postgres"):
        _make_database()
    node.start(_postgres(), say)
    node.start(_mlflow(), say)
    node.kubectl()("apply", "--server-side", "--filename", str(node.FILES / "servers.yaml"))


def _s3() -> Daemon:
    folder = node.state_folder() / "s3"
    folder.mkdir(parents=True, exist_ok=True)
    command = server_command(folder, NODE_ADDRESS, [S3_PORT, 9333, 8080, 8888])
    return Daemon("s3", command, lambda: node.is_listening(NODE_ADDRESS, S3_PORT), S3_ENDPOINT)


def _postgres() -> Daemon:
    command = [*_as_postgres("postgres"), "-D", f"{_POSTGRES_FOLDER}/data", "-k", _POSTGRES_FOLDER]
    return Daemon("postgres", [*command, "-c", "fsync=off"], _database_answers, "its port")


def _mlflow() -> Daemon:
    hosts = [f"{name}:{MLFLOW_PORT}" for name in (NODE_ADDRESS, "mlflow.servers", "mlflow.servers.svc.cluster.local")]
    command = [sys.executable, "-m", "mlflow", "server", f"--host={NODE_ADDRESS}", f"--port={MLFLOW_PORT}"]
    command += [f"--backend-store-uri={_DATABASE}", "--artifacts-destination=s3://mlflow", "--workers=1"]
    return Daemon(
        "mlflow",
        [*command, f"--allowed-hosts={','.join(hosts)}"],
        lambda: node.is_listening(NODE_ADDRESS, MLFLOW_PORT),
        MLFLOW_URI,
        S3_ENVIRONMENT,
    )


def _make_database() -> None:
    sandbox.run("install", "-d", "-o", "postgres", "-g", "postgres", _POSTGRES_FOLDER)
    sandbox.run(*_as_postgres("initdb"), "--auth=trust", "--no-sync", "-D", f"{_POSTGRES_FOLDER}/data")


def _as_postgres(program: str) -> list[str | Path]:
    """PostgreSQL refuses to run as root."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    if not found:
        raise ClusterError(f"no {program} below /usr/lib/postgresql: install Debian's package postgresql")
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--", found[-1]]


def _bucket_is_there() -> bool:
    try:
        make_bucket("mlflow")
    except (BotoCoreError, ClientError):  # the filer behind the port answers a moment later
        return False
    return True


def _database_answers() -> bool:
    try:
        sandbox.run(*_as_postgres("pg_isready"), "-h", "127.0.0.1")
    except ClusterError:
        return False
    return True


def make_bucket(name: str) -> None:
    """Make a bucket; one that is there is no error."""
    client = boto3.client(
        "s3",
        endpoint_url=S3_ENDPOINT,
        region_name=S3_ENVIRONMENT["AWS_REGION"],
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )
    if name not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket=name)
