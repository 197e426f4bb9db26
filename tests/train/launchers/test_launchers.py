import pytest

from med42lib.core.errors import EnvironmentProblem
from med42lib.train.launchers import open_launcher
from med42lib.train.launchers.local import LocalLauncher


def test_without_a_choice_processes_run_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MED42_LAUNCHER", raising=False)
    assert isinstance(open_launcher(), LocalLauncher)


def test_a_launcher_that_does_not_exist_is_refused_with_those_that_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MED42_LAUNCHER", "slurm")
    with pytest.raises(EnvironmentProblem, match=r"MED42_LAUNCHER='slurm': expected local"):
        open_launcher()
