"""The README's walk with data of one's own, word by word: from nothing to the report."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

BLOCK = re.compile(r"^```(sh|yaml)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def steps() -> Iterator[tuple[str, str]]:
    """Give what the README's section tells to type, and the spec to write, in order."""
    _, _, rest = (REPOSITORY / "README.md").read_text(encoding="utf-8").partition("\n## Your own data\n")
    section, _, _ = rest.partition("\n## ")
    yield from BLOCK.findall(section)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the commands of the README can be typed, as in the repository."""
    (tmp_path / "med42lib").symlink_to(REPOSITORY / "med42lib")
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, words in (("med42", f"{sys.executable} -m med42lib"), ("python", sys.executable)):
        (commands / name).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("MED42_PROCESSES_PER_NODE", "1")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_walk_of_the_readme_ends_with_a_report_on_ones_own_questions(desk: Path) -> None:
    output = ""
    for kind, text in steps():
        if kind == "yaml":
            (desk / "mine.yaml").write_text(text)
            continue
        done = subprocess.run(["sh", "-ec", text], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        output += done.stdout + done.stderr
    assert [len((desk / f"mine/{name}.jsonl").read_text().splitlines()) for name in ("notes", "exam")] == [300, 60]
    [report] = [Path(line.split()[1]) for line in output.splitlines() if line.startswith("report ")]
    assert "Our notes" in report.read_text()
    results = (report.parent / "results.csv").read_text()
    for model in ("base", "lora"):
        assert f"\nexam,{model},clean,57," in results
        assert f"\nexam,{model},contaminated,3," in results
    assert "Did this LoRA fine-tune help? Not shown" in output, "as the README says"
    with_conversations(desk)


def with_conversations(desk: Path) -> None:
    """Add a file of conversations to the same mixture, in a place that has the other stages' outputs."""
    told = (json.loads(line) for line in (desk / "mine/notes.jsonl").read_text().splitlines())
    exchanges = [[{"from": "human", "value": n["input"]}, {"from": "gpt", "value": n["output"]}] for n in told]
    talks = [[*first, *second] for first, second in zip(exchanges[::2], reversed(exchanges[1::2]), strict=True)]
    (desk / "mine/talks.jsonl").write_text("".join(json.dumps({"conversations": talk}) + "\n" for talk in talks))
    talks_too = "assemble.sources.talks={format: conversations, path: talks.jsonl, target: all, licence: ours}"
    command = ["med42", "run", "mine.yaml", "--set", talks_too, "--set", "train.lora.max_steps=3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[fetch_model] reused" in done.stderr
    [report] = [Path(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("report ")]
    sources = json.loads((report.parent / "summary.json").read_text())["contamination"]["sources"]
    found = {name: source["items"] for name, source in sources.items()}
    assert found == {"notes": 3, "talks": 3}, "the notes ask the same, below a line that is always the same"
