"""Whole runs of smoke.yaml, each as the `med42` command a user would type."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from med42lib.catalogue import STAGES
from med42lib.store.address import open_store
from med42lib.store.artifacts import Source
from med42lib.store.publish import sealed_outputs
from tests.conftest import REPOSITORY

SMOKE = REPOSITORY / "pipelines/specs/smoke.yaml"
MED42 = [sys.executable, "-m", "med42lib"]


@dataclass(frozen=True)
class Run:
    """A finished `med42 run`."""

    exit_code: int
    output: str
    store: str

    @property
    def reused(self) -> list[str]:
        """Stages that were reused, in order."""
        return [line.split("]")[0][1:] for line in self.output.splitlines() if "] reused " in line]

    @property
    def made(self) -> list[str]:
        """Stages that ran, in order."""
        return [line.split("]")[0][1:] for line in self.output.splitlines() if "] finished in " in line]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh place for MLflow's SQLite file and the working directory."""
    monkeypatch.setenv("MED42_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def med42_run(home: Path) -> Callable[..., Run]:
    """Run smoke.yaml to its end."""

    def run(store: Path | str, *overrides: str, spec: Path = SMOKE) -> Run:
        command = [*MED42, "run", str(spec), "--store", str(store), *[f"--set={override}" for override in overrides]]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
        return Run(done.returncode, done.stdout + done.stderr, str(store))

    return run


def scientific_content(store: str, cache: Path) -> dict[str, Any]:
    """Gather what a run found: item ids, scores, flagged items, statistics; no time, path or id of MLflow's."""
    found: dict[str, Any] = {}
    for address in outputs(store):
        stage, key, _, target = address.split("/")[-4:]
        source = Source(address, cache=cache / stage / key / target)
        if stage == "report":
            found["report"] = json.loads(source.path("summary.json").read_text())
            found["results"] = source.path("results.csv").read_text()
        elif stage not in ("register", "embed_questions", "answer_questions"):  # of as many shards as there were
            found[f"{stage}/{key}/{target}"] = source.digest
    return found


def outputs(store: str) -> list[str]:
    """List the addresses of every finished output of a store."""
    opened = open_store(store)
    wanted = [(stage.name, target) for stage in STAGES.values() for target in stage.targets]
    return [address for stage, target in wanted for address in sealed_outputs(opened, stage, target)]
