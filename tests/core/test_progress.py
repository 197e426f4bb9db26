import json
import os
import subprocess
import sys

import pytest

from med42lib.core import progress as module
from med42lib.core.progress import progress, track
from tests.hostile import UNSEEN, unseen_in


def test_items_pass_through_unchanged() -> None:
    assert list(track(iter("abc"), "letters", total=3)) == ["a", "b", "c"]


def test_without_a_terminal_a_plain_line_states_count_rate_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0.0)
    with progress("embed", 200, unit="texts") as bar:
        bar.advance(50)
    line = capsys.readouterr().err
    assert "embed" in line
    assert "25%" in line
    assert "texts/s" in line
    assert "\r" not in line


@pytest.mark.parametrize("on_terminal", [False, True])
def test_what_was_done_before_counts_towards_the_total_and_not_towards_the_rate(
    on_terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    monkeypatch.setattr(module, "_on_terminal", lambda: on_terminal)
    with progress("train", 1000, unit="steps", initial=700) as bar:
        now[0] = 10.0
        bar.advance(50)
    assert "750/1.00k [00:10<00:50, 5.00 steps/s]" in capsys.readouterr().err


def test_a_label_and_a_note_steer_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0.0)
    for on_terminal in (False, True):
        monkeypatch.setattr(module, "_on_terminal", lambda on_terminal=on_terminal: on_terminal)
        with progress(f"read {UNSEEN}\n[report] hf_abcdefghijkl", 4) as bar:
            bar.advance(note=f"{UNSEEN}\n[report]")
        shown = capsys.readouterr().err
        assert "read \\x1b[2J" in shown
        assert not unseen_in(shown.replace("\r", ""))
        assert "\n[report]" not in shown
        assert "hf_abc" not in shown


def test_lines_come_no_faster_than_the_interval(capsys: pytest.CaptureFixture[str]) -> None:
    list(track(range(1000), "quick"))
    assert capsys.readouterr().err == ""


def test_on_a_terminal_there_is_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_on_terminal", lambda: True)
    with progress("embed", 10, unit="texts") as bar:
        bar.advance(10)
    assert "\r" in capsys.readouterr().err


def test_a_note_is_shown_behind_the_rate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0.0)
    with progress("train", 4, unit="steps") as bar:
        bar.advance(note="loss 2.125")
    assert "loss 2.125" in capsys.readouterr().err


def test_a_terminal_behind_a_pipe_counts_as_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(module.TERMINAL_VARIABLE, "1")
    with progress("train", 4, unit="steps") as bar:
        bar.advance(4)
    assert "\r" in capsys.readouterr().err


def test_in_json_progress_is_log_lines_even_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MED42_LOG", "json")
    monkeypatch.setenv(module.TERMINAL_VARIABLE, "1")
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0.0)
    with progress("embed", 200, unit="texts") as bar:
        bar.advance(50)
    said = json.loads(capsys.readouterr().err)
    assert said["logger"] == "med42.progress"
    assert said["message"].startswith("embed:  25%")


def test_bars_of_libraries_are_not_drawn_into_a_log() -> None:
    code = "import med42lib.core.progress; from tqdm.auto import tqdm; list(tqdm(range(3)))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TQDM_", "MED42_"))}
    for terminal, seen in (("0", False), ("1", True)):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**environment, "MED42_TERMINAL": terminal},
            capture_output=True,
            text=True,
            check=True,
        )
        assert ("3/3" in done.stderr) == seen
