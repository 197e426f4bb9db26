import subprocess
import sys

from tests.conftest import REPOSITORY
from tests.s3_server import free_ports


def test_two_who_ask_before_they_listen_get_different_ports() -> None:
    code = "from tests.s3_server import free_ports; print(*free_ports(4), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    ) as other:
        assert other.stdout is not None
        theirs = set(map(int, other.stdout.readline().split()))
        ours = [*free_ports(4), *free_ports(4)]
        other.communicate("\n")
    assert len(theirs) == 4
    assert len(theirs.union(ours)) == 12
