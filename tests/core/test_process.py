import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from med42lib.core import process
from med42lib.core.process import PARENT_VARIABLE, child_environment, children_die_with_this_process, die_with_parent
from tests.processes import gone, wait_for

PARENT = """
    import subprocess, sys
    from med42lib.core.process import child_environment
    child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], env=child_environment(), stdout=subprocess.PIPE)
    child.stdout.readline()
    print(child.pid, flush=True)
    child.wait()
"""
CHILD = """
    import time
    from med42lib.core import process
    {preparation}
    process.die_with_parent()
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("preparation", ["", "process._killed_by_kernel = lambda: False"], ids=["kernel", "looking"])
def test_a_child_dies_with_its_killed_parent(preparation: str) -> None:
    child_code = textwrap.dedent(CHILD).format(preparation=preparation)
    command = [sys.executable, "-c", textwrap.dedent(PARENT), child_code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not gone(child)
        parent.kill()
    wait_for(lambda: gone(child), seconds=1)


def test_a_child_whose_parent_is_gone_already_dies_at_once() -> None:
    code = "from med42lib.core.process import die_with_parent; die_with_parent(); print('alive')"
    someone_else = {**os.environ, PARENT_VARIABLE: "999999999"}
    done = subprocess.run([sys.executable, "-c", code], env=someone_else, capture_output=True, check=False)
    assert done.returncode == -9
    assert done.stdout == b""


def test_a_command_started_by_hand_goes_on_without_its_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.delenv(PARENT_VARIABLE, raising=False)
    monkeypatch.setattr(process, "_killed_by_kernel", lambda: asked.append("kernel"))
    die_with_parent()
    assert asked == []


def test_the_request_is_not_handed_on_to_grandchildren(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PARENT_VARIABLE, str(os.getppid()))
    monkeypatch.setattr(process, "_killed_by_kernel", lambda: True)
    die_with_parent()
    assert PARENT_VARIABLE not in os.environ


def test_a_child_learns_its_parents_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMETHING", "else")
    environment = child_environment()
    assert environment[PARENT_VARIABLE] == str(os.getpid())
    assert environment["SOMETHING"] == "else"


def test_in_the_block_alone_every_child_learns_it() -> None:
    command = [sys.executable, "-c", f"import os; print(os.environ.get({PARENT_VARIABLE!r}))"]
    with children_die_with_this_process():
        inside = subprocess.check_output(command, text=True).strip()
    assert inside == str(os.getpid())
    assert subprocess.check_output(command, text=True).strip() == "None"


def test_leaving_writes_out_what_was_printed_and_keeps_the_exit_code() -> None:
    code = """
        import atexit
        from med42lib.core.process import exit_at_once
        atexit.register(print, "late")
        print("said")
        exit_at_once(7)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (7, "said\n"), "nothing of Python's own end is waited for"


@pytest.mark.parametrize(("ends", "code"), [("return 7", 7), ("raise SystemExit(143)", 143), ("pass", 0)])
def test_a_process_ends_with_its_code_though_a_thread_of_it_still_fetches(ends: str, code: int) -> None:
    program = f"""
        import time
        from concurrent.futures import ThreadPoolExecutor
        from med42lib.core.process import end_with
        def run():
            ThreadPoolExecutor(1).submit(time.sleep, 600)
            {ends}
        end_with(run)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    assert subprocess.run(command, timeout=60, check=False).returncode == code


def test_leaving_takes_the_folder_of_a_fork_server_away_and_waits_for_no_child(tmp_path: Path) -> None:
    code = """
        import multiprocessing, sys, time
        from med42lib.core.process import FORK_SERVER, children_die_with_this_process, exit_at_once
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([FORK_SERVER])
        with children_die_with_this_process():
            context.Process(target=time.sleep, args=(600,)).start()
        print(multiprocessing.current_process()._config["tempdir"])
        exit_at_once(7)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 7
    assert Path(done.stdout.strip()).parent == tmp_path
    assert list(tmp_path.iterdir()) == []
