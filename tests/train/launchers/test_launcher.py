from dataclasses import replace
from pathlib import Path

import pytest

from med42lib.catalogue import STAGES
from med42lib.core.errors import EnvironmentProblem
from med42lib.core.stop_signal import StopSignal
from med42lib.engine.runner import Request, run_stage
from med42lib.formats.recipe import RECIPE_FILE, Recipe
from med42lib.store.artifacts import Source
from med42lib.store.manifest import describe_folder
from med42lib.train import stage
from med42lib.train.job import OUTPUT, TrainingJob
from med42lib.train.launchers.launcher import open_launcher
from med42lib.train.launchers.local import LocalLauncher
from tests.train.conftest import FULL


def test_without_a_choice_processes_run_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MED42_LAUNCHER", raising=False)
    assert isinstance(open_launcher(), LocalLauncher)


def test_a_launcher_that_does_not_exist_is_refused_with_those_that_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MED42_LAUNCHER", "slurm")
    with pytest.raises(EnvironmentProblem, match=r"MED42_LAUNCHER='slurm': expected local or pytorchjob"):
        open_launcher()


class Earlier:
    """A launcher that finds the job of a driver that was killed, done meanwhile."""

    num_processes = 1

    def run(self, job: TrainingJob, _stopping: StopSignal) -> TrainingJob:
        found = replace(job, attempt="20260101T000000-00000000")
        folder = Path(found.upload.address) / OUTPUT
        folder.mkdir(parents=True)
        Recipe("full", 1, 9, 9, 9, 9, 9, 1, 1, 2.0, 1.0).write(folder)
        found.write_files(describe_folder(folder))
        return found


def test_the_attempt_that_was_at_work_is_the_one_that_counts(
    base_model: Path, packed_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "open_launcher", Earlier)
    sources = {"packed": str(packed_data), "model": str(base_model)}
    request = Request(FULL.model_dump(), str(tmp_path / "store"), sources)
    made = run_stage(STAGES["train"], request)
    assert "20260101T000000-00000000" in made.targets["trained"]
    source = Source(made.targets["trained"])
    assert [entry.path for entry in source.manifest.files] == [RECIPE_FILE]
    assert run_stage(STAGES["train"], request).reused
