import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.measured import run_within
from tests.processes import gone

HANGS_AS_TORCHRUN_DOES = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(60)
"""


def test_a_command_that_hangs_leaves_no_process_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HANGS_AS_TORCHRUN_DOES, str(tmp_path / "pid")]
    with pytest.raises(subprocess.TimeoutExpired):
        run_within(5, command, environment=os.environ)
    assert gone(int((tmp_path / "pid").read_text()))


def test_what_a_command_said_and_its_exit_code_are_returned() -> None:
    command = [sys.executable, "-c", "import sys; print('figures'); sys.exit('why')"]
    done = run_within(60, command, environment=os.environ)
    assert (done.returncode, done.stdout, done.stderr) == (1, "figures\n", "why\n")
