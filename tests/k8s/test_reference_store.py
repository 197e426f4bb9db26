"""The store of `k8s/reference`, started by its own manifest's command: who is let in, and where."""

import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
import yaml
from botocore.exceptions import ClientError

from tests.conftest import REPOSITORY
from tests.s3_server import free_ports, started, weed

pytestmark = pytest.mark.slow

KEYS = {"AWS_ACCESS_KEY_ID": "med42", "AWS_SECRET_ACCESS_KEY": "planted-for-a-test"}


@dataclass(frozen=True)
class Reference:
    """The store, running."""

    port: int
    process: "subprocess.Popen[bytes]"

    def client(self, key_id: str, key: str) -> Any:
        address = f"http://127.0.0.1:{self.port}"
        return boto3.client("s3", "us-east-1", None, True, None, address, key_id, key)


def container() -> Any:
    [stateful] = [
        each
        for each in yaml.safe_load_all((REPOSITORY / "k8s/reference/seaweedfs.yaml").read_text())
        if each["kind"] == "StatefulSet"
    ]
    [found] = stateful["spec"]["template"]["spec"]["containers"]
    return found


def environment() -> dict[str, str]:
    """What the manifest gives the container, which is all of the Secret and a few variables."""
    given = {
        each["name"]: each.get("value") or KEYS[each["valueFrom"]["secretKeyRef"]["key"]] for each in container()["env"]
    }
    return KEYS | given


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    folder = tmp_path_factory.mktemp("reference")
    ports = dict(zip(("s3", "master", "volume", "filer"), free_ports(4), strict=True))
    command = [weed(), *container()["command"][1:], *(f"-{name}.port={port}" for name, port in ports.items())]
    command += [f"-dir={folder}", "-volume.max=500"]  # of several flags with one name the last one counts
    with started(command, ports["s3"], folder / "log", **environment()) as process:
        yield Reference(ports["s3"], process)


def test_s3_alone_is_reached_from_elsewhere_and_asks_who_calls(reference: Reference) -> None:
    listening = [
        each.laddr for each in psutil.Process(reference.process.pid).net_connections() if each.status == "LISTEN"
    ]
    beyond = {address.port for address in listening if address.ip != "127.0.0.1"}
    assert beyond == {reference.port, reference.port + 10_000}
    ours = reference.client(*KEYS.values())
    ours.create_bucket(Bucket="med42")
    ours.put_object(Bucket="med42", Key="runs/file", Body=b"content")
    assert ours.get_object(Bucket="med42", Key="runs/file")["Body"].read() == b"content"
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        reference.client("med43", "guessed").list_buckets()


def test_nobody_adds_an_identity_by_grpc(reference: Reference, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl, which speaks HTTP/2, is not installed")
    said = put_identity(reference.port + 10_000, tmp_path / "message")
    assert re.search(r"(?m)^grpc-status: 16\r?$", said), f"not refused as unauthenticated: {said}"
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        reference.client("intruder", "of-their-own").list_buckets()


def put_identity(port: int, message: Path) -> str:
    """Ask SeaweedFS' service of S3 identities for one with all rights; gives the headers of the answer."""
    credential = field(1, b"intruder") + field(2, b"of-their-own")
    content = field(1, field(1, b"intruder") + field(2, credential) + field(3, b"Admin"))
    message.write_bytes(struct.pack(">BI", 0, len(content)) + content)
    command = [
        "curl",
        "--silent",
        "--noproxy",
        "*",
        "--http2-prior-knowledge",
        "--dump-header",
        "-",
        "--max-time",
        "20",
    ]
    command += [
        "--header",
        "content-type: application/grpc",
        "--header",
        "te: trailers",
        "--data-binary",
        f"@{message}",
    ]
    address = f"http://127.0.0.1:{port}/messaging_pb.SeaweedS3IamCache/PutIdentity"
    return subprocess.run([*command, address], capture_output=True, check=False).stdout.decode(errors="replace")


def field(number: int, content: bytes) -> bytes:
    """A field of a protobuf message."""
    return bytes([number << 3 | 2, len(content)]) + content
