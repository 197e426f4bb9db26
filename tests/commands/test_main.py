import json
import os
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from med42lib.commands import main as cli
from med42lib.commands.command import Command
from med42lib.commands.main import main
from med42lib.core.environment import proxy_of
from med42lib.core.errors import DataError
from med42lib.core.process import PARENT_VARIABLE
from tests.conftest import REPOSITORY
from tests.hostile import UNSEEN, unseen_in

DEMO = str(REPOSITORY / "pipelines/specs/demo.yaml")


def test_help_teaches_the_first_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    for part in ("med42 run pipelines/specs/demo.yaml", "--set", "plan", "stage", "compile", "mlflow ui", "exit codes"):
        assert part in shown


def test_an_error_of_the_users_is_one_message_and_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "nothing.yaml"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("\nerror: spec\n  nothing.yaml: cannot be read")


def stub_that_raises(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_arguments: Namespace) -> int:
        raise error

    monkeypatch.setattr(cli, "_commands", lambda: [Command("stub", "fail", "", lambda _parser: None, fail)])


def test_an_errors_message_is_made_safe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stub_that_raises(DataError(f"a{UNSEEN}\n[report] http://u:hunter2@host/"), monkeypatch)
    assert main(["stub"]) == 3
    shown = capsys.readouterr().err
    assert "\n  [report] http://***@host/" in shown
    assert not unseen_in(shown)


def test_in_a_pod_the_last_line_is_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stub_that_raises(DataError("no rows are left; use other data\n  1 of 2\n  2 of 2"), monkeypatch)
    assert main(["stub"]) == 3
    assert capsys.readouterr().err.splitlines()[-1] == "  2 of 2"
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert main(["stub"]) == 3
    assert capsys.readouterr().err.splitlines()[-1] == "no rows are left; use other data [exit code 3]"


def test_a_bug_of_ours_is_a_traceback_without_secrets_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stub_that_raises(RuntimeError(f"HF_TOKEN=hunter2 {UNSEEN}"), monkeypatch)
    assert main(["stub"]) == 1
    shown = capsys.readouterr().err
    assert "please report it" in shown
    assert "Traceback" in shown
    assert "RuntimeError: HF_TOKEN=*** \\x1b" in shown
    assert "hunter2" not in shown
    assert not unseen_in(shown)


def test_ctrl_c_is_one_message_and_exit_code_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stub_that_raises(KeyboardInterrupt(), monkeypatch)
    assert main(["stub"]) == 130
    assert "interrupted; run the same command again" in capsys.readouterr().err


WAITING = """
import sys, time
from med42lib.commands import main as cli
from med42lib.commands.command import Command
from med42lib.core.process import PARENT_VARIABLE
def wait(_arguments):
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("cleaned up")
cli._commands = lambda: [Command("stub", "wait", "", lambda _parser: None, wait)]
sys.exit(cli.main(["stub"]))
"""


def test_a_request_to_stop_unwinds_and_ends_with_exit_code_143() -> None:
    with subprocess.Popen([sys.executable, "-c", WAITING], stdout=subprocess.PIPE, text=True) as stub:
        assert stub.stdout is not None
        assert stub.stdout.readline() == "ready\n"
        stub.send_signal(signal.SIGTERM)
        assert stub.stdout.read() == "cleaned up\n"
    assert stub.returncode == 143


def test_a_command_heeds_the_proxy_that_its_step_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str | None] = []

    def look(_arguments: Namespace) -> int:
        found.append(proxy_of("https://hub.example"))
        return 0

    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)  # again at the end of this test, whatever the command sets
    monkeypatch.setenv("MED42_HTTPS_PROXY", "http://given:3128")
    monkeypatch.setattr(cli, "_commands", lambda: [Command("stub", "look", "", lambda _parser: None, look)])
    assert main(["stub"]) == 0
    assert found == ["http://given:3128"]


def test_the_plan_says_parameters_memory_and_steps(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", DEMO]) == 0
    shown = capsys.readouterr().out
    assert "training data" in shown
    assert "train full" in shown
    assert "1,115,264 of 1,115,264 (100.00%)" in shown
    assert "train lora" in shown
    assert "steps" in shown


def test_the_command_starts_without_any_heavy_library() -> None:
    code = (
        "import sys, med42lib.commands.main as c\n"
        "c._parser(c._commands())\n"
        "heavy = {'torch', 'transformers', 'mlflow', 'kfp', 'pyarrow', 'lm_eval', 'boto3', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.replace("'", '"')) == []


def test_without_kfp_a_stage_still_runs_and_run_says_what_is_missing(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['kfp'] = None\n"
        "from med42lib.commands.main import main\n"
        "stage = main(['stage', 'assemble', '--spec', sys.argv[1], '--store', sys.argv[2], "
        "'--input', 'data=package:med42lib/demo/data/training'])\n"
        "print('exit', stage, main(['run', sys.argv[1]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, DEMO, str(tmp_path / "store")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert "exit 0 4" in done.stdout, done.stderr
    assert "pip install --constraint constraints.txt '.[pipeline]'" in done.stderr


def test_a_command_whose_parent_is_gone_ends_before_it_does_anything() -> None:
    command = [sys.executable, "-m", "med42lib", "--version"]
    done = subprocess.run(command, env={**os.environ, PARENT_VARIABLE: "999999999"}, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (-9, b"")


STARTING = """
import multiprocessing, subprocess, sys
from med42lib.commands.main import main
main(["plan", "nothing.yaml"])
process = multiprocessing.get_context("forkserver").Process(target=print, args=("forked",))
process.start()
process.join()
subprocess.run([sys.executable, "-m", "med42lib", "--version"])
"""


def test_a_strangers_module_in_the_working_folder_is_imported_by_nothing_that_a_command_starts(tmp_path: Path) -> None:
    for name in ("signal", "struct", "selectors", "yaml"):
        (tmp_path / f"{name}.py").write_text("print('a stranger ran code'); raise SystemExit(9)")
    done = subprocess.run(
        [sys.executable, "-P", "-c", STARTING],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.startswith("forked\nmed42 "), done.stderr
    assert "stranger" not in done.stdout


def run_with(arguments: list[str], environment: dict[str, str] | None = None, **streams: Any) -> Any:
    command = [sys.executable, "-m", "med42lib", *arguments]
    return subprocess.run(command, text=True, check=False, env={**os.environ, **(environment or {})}, **streams)


@pytest.fixture
def left_pipe() -> Iterator[IO[bytes]]:
    """A pipe whose reader has gone."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        yield closed


@pytest.mark.parametrize(
    ("arguments", "buffered"), [(["plan", DEMO], True), (["plan", DEMO], False), (["--help"], True)]
)
def test_a_reader_that_has_seen_enough_is_no_error(arguments: list[str], buffered: bool, left_pipe: IO[bytes]) -> None:
    environment = {"PYTHONUNBUFFERED": "" if buffered else "1"}
    done = run_with(arguments, environment, stdout=left_pipe, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("arguments", "code"), [(["plan", "nothing.yaml"], 2), (["plan", DEMO], 0), (["nothing"], 2)])
@pytest.mark.parametrize("log", ["text", "json"])
def test_the_exit_code_is_the_same_where_nobody_reads_the_errors(
    arguments: list[str], code: int, log: str, left_pipe: IO[bytes]
) -> None:
    done = run_with(arguments, {"MED42_LOG": log}, stdout=subprocess.PIPE, stderr=left_pipe)
    assert done.returncode == code


def test_a_result_that_its_disk_has_no_space_for_is_exit_code_9() -> None:
    with Path("/dev/full").open("w") as full:
        done = run_with(["plan", DEMO], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 9
    assert "error: no space left while writing standard output" in done.stderr
    assert "Traceback" not in done.stderr


SHOWING = """
import sys
from med42lib.commands import main as cli
from med42lib.commands.command import Command, show
def run(_arguments):
    show("31.3 \\u2013 caf\\xe9")
    return 0
cli._commands = lambda: [Command("stub", "show", "", lambda _parser: None, run)]
sys.exit(cli.main(["stub"]))
"""


def test_what_the_outputs_encoding_lacks_is_shown_by_its_number() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-c", SHOWING], capture_output=True, check=False, env=environment)
    assert (done.returncode, done.stdout) == (0, b"31.3 \\u2013 caf\xe9\n"), done.stderr
