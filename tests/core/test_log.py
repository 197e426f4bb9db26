import json
import logging
import subprocess
import sys
from datetime import datetime, timedelta

import pytest

from med42lib.core.errors import EnvironmentProblem
from med42lib.core.log import log, log_place, passed_record, safe_message, set_up_logging, tell
from tests.hostile import UNSEEN, unseen_in


@pytest.fixture(autouse=True)
def _place_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MED42_LOG_PLACE", raising=False)


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


@pytest.fixture
def in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MED42_LOG", "json")


@pytest.mark.usefixtures("in_json")
def test_in_json_a_line_is_one_object_that_says_where_it_is_from(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging()
    with log_place(run="demo-1", stage="train"), log_place(key="k", attempt="a"):
        log("train").warning("step %d\nwith %s", 3, f"token=hf_abcdefghijkl {UNSEEN}")
    log("train").info("later")
    shown = capsys.readouterr().err
    assert not unseen_in(shown)
    first, later = map(json.loads, shown.splitlines())
    assert datetime.fromisoformat(first.pop("time")).utcoffset() == timedelta(0)
    assert first.pop("message").startswith("step 3\nwith token=***")
    place = {"run": "demo-1", "stage": "train", "key": "k", "attempt": "a"}
    assert first == {"level": "WARNING", "logger": "med42.train", **place}
    assert later.keys() == {"time", "level", "logger", "message"}


@pytest.mark.usefixtures("in_json")
def test_in_json_a_traceback_is_part_of_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging()
    try:
        raise ValueError("password=hunter2")
    except ValueError:
        log("train").exception("it failed")
    [line] = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"].startswith("it failed\nTraceback")
    assert "hunter2" not in line


@pytest.mark.usefixtures("in_json")
def test_after_an_error_lines_still_say_where_it_happened(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="x"), log_place(stage="pack"):
        raise ValueError("x")
    tell("med42", "\nerror: x", level=logging.ERROR)
    said = json.loads(capsys.readouterr().err)
    assert (said["stage"], said["level"], said["message"]) == ("pack", "ERROR", "error: x")


@pytest.mark.parametrize(
    ("name", "value"),
    [("MED42_LOG", "xml"), ("MED42_LOG_PLACE", "{"), ("MED42_LOG_PLACE", "[]"), ("MED42_LOG_PLACE", '{"pod": "x"}')],
)
def test_an_environment_that_asks_for_nonsense_is_refused(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(EnvironmentProblem, match=f"^{name}="):
        set_up_logging()


def test_a_log_line_of_another_process_is_taken_without_secrets() -> None:
    record = {"time": "t", "level": "INFO", "logger": "med42.x", "message": "token=hf_abcdefghijkl", "rank": "1"}
    taken = passed_record(json.dumps(record))
    assert taken is not None
    assert json.loads(taken) == record | {"message": "token=***"}
    assert passed_record(taken) == taken


@pytest.mark.parametrize(
    "line", ["step 3", "{}", "[" * 100_000, '{"time": 1, "level": 1, "logger": 1, "message": 1, "api_key": "x"}']
)
def test_a_line_that_is_no_log_line_is_not_taken(line: str) -> None:
    assert passed_record(line) is None
