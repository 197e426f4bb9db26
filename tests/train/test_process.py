import os
import subprocess
import sys
from pathlib import Path

from med42lib.core.process import PARENT_VARIABLE
from tests.processes import gone, wait_for

SLOW = """
import ctypes, os
print(os.getpid(), flush=True)
ctypes.PyDLL(None).sleep(60)  # PyDLL keeps the GIL, as the loading of a large library does
"""
PARENT = """
import subprocess, sys
from med42lib.core.process import child_environment
subprocess.run([sys.executable, "-m", "med42lib.train.process", "slow:train", "request"], env=child_environment())
"""
ENTRY = """
import sys
def train(argument):
    print(type(argument).__name__, argument)
    sys.exit(int(argument.name))
"""


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{os.getcwd()}{os.pathsep}{folder}"}


def test_it_dies_with_its_parent_while_it_still_imports(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, env=environment(tmp_path), stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not gone(child)
        parent.kill()
    wait_for(lambda: gone(child), seconds=1)


def test_it_calls_the_function_and_ends_as_that_does(tmp_path: Path) -> None:
    (tmp_path / "entry.py").write_text(ENTRY)
    command = [sys.executable, "-m", "med42lib.train.process", "entry:train", "7"]
    done = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (7, "PosixPath 7\n")


def test_one_whose_parent_is_gone_imports_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "med42lib.train.process", "missing:train", "request"]
    without = {**environment(tmp_path), PARENT_VARIABLE: "999999999"}
    done = subprocess.run(command, env=without, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (-9, b"")
