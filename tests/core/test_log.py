import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from med42lib.core.log import log, safe_message, set_up_logging
from tests.hostile import UNSEEN, unseen_in


@pytest.fixture(autouse=True)
def cleaned() -> Iterator[None]:
    hook = sys.excepthook
    yield
    logging.getLogger("med42").handlers = []
    sys.excepthook = hook


def test_a_line_is_headed_by_its_stage(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging()
    log("train").info("step %d with %s", 3, "hf_abcdefghijkl")
    assert capsys.readouterr().err == "[train] step 3 with ***\n"


def test_a_files_name_forges_no_line_and_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging()
    log("assemble").info("reading %s", f"a\n[report] all is well{UNSEEN}\r[report] b.xml")
    shown = capsys.readouterr().err
    assert [line for line in shown.splitlines() if line.startswith("[")] == ["[assemble] reading a"]
    assert not unseen_in(shown)


def test_a_traceback_in_a_log_line_is_made_safe_too(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging()
    try:
        raise ValueError(f"password=hunter2 {UNSEEN}\n[report] all is well")
    except ValueError:
        log("train").exception("it failed")
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "ValueError: password=*** " in shown
    assert "hunter2" not in shown
    assert "\n[report]" not in shown
    assert not unseen_in(shown)


def test_a_traceback_of_what_nobody_caught_has_no_secret() -> None:
    code = "from med42lib.core.log import set_up_logging as s; s(); open('x:' + '//user:hunter2@x')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "FileNotFoundError" in done.stderr
    assert "x://***@x" in done.stderr


def test_our_own_lines_stay_lines() -> None:
    assert safe_message("spec\n  name: is wrong\nmend it") == "spec\n  name: is wrong\n  mend it"
