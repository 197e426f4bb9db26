import ctypes
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from med42lib import selfcheck
from med42lib.doctor import machine
from med42lib.doctor.finding import Finding, Level


def about(what: str, found: list[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.about == what]


def test_without_a_gpu_none_is_said_to_be_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "has_accelerator", lambda: False)
    found = list(machine.check_machine(whole_run=True))
    assert {finding.level for finding in (*about("gpu", found), *about("nccl", found))} == {Level.UNKNOWN}


@pytest.mark.parametrize(
    ("capability", "compiled", "level"),
    [
        ((7, 0), ["sm_70", "sm_80"], Level.OK),
        ((8, 6), ["sm_80"], Level.OK),
        ((9, 0), ["sm_90a"], Level.OK),
        ((7, 0), ["sm_75", "sm_80", "sm_90"], Level.PROBLEM),
        ((7, 0), [], Level.PROBLEM),
    ],
)
def test_a_gpu_that_torch_has_no_code_for_is_a_problem(
    capability: tuple[int, int], compiled: list[str], level: Level
) -> None:
    assert machine._gpu_finding("GPU 0", capability, compiled).level == level


def test_the_shared_memory_that_a_pod_gets_unless_it_asks_is_too_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_blocks=64, f_frsize=1 << 20))
    finding = machine._check_shared_memory()
    assert finding.level == Level.WARNING
    assert "has 64 MiB" in finding.text


def test_infiniband_that_is_demanded_and_not_there_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCCL_NET", "IB")
    monkeypatch.setenv("NCCL_IB_DISABLE", "1")
    assert machine._check_transport().level == Level.PROBLEM


@pytest.fixture
def infiniband(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node with GPUs and a device of InfiniBand."""
    (tmp_path / "mlx5_0").mkdir()
    monkeypatch.setattr(machine, "_INFINIBAND", tmp_path)
    monkeypatch.setattr(machine, "has_accelerator", lambda: True)


@pytest.mark.usefixtures("infiniband")
def test_infiniband_without_the_library_that_nccl_opens_for_it_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(ctypes, "CDLL", opened)
    finding = machine._check_transport()
    assert finding.level == Level.PROBLEM
    for words in ("mlx5_0", "libibverbs.so.1", "libibverbs1 and ibverbs-providers", "images/README.md"):
        assert words in finding.text


@pytest.mark.usefixtures("infiniband")
def test_infiniband_with_its_library_is_how_nodes_talk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", {"libibverbs.so.1": None}.__getitem__)
    finding = machine._check_transport()
    assert (finding.level, "over InfiniBand: mlx5_0" in finding.text) == (Level.OK, True)


def test_a_container_need_not_have_the_libraries_of_stages_that_run_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    found = selfcheck.libraries(selfcheck.WHOLE_RUN)
    lacking = [
        selfcheck.Library(each.name, None, each.allowed, None) if each.name == "mlflow" else each for each in found
    ]
    monkeypatch.setattr(selfcheck, "libraries", lambda extras: lacking)
    monkeypatch.delenv("MED42_RUNTIME", raising=False)
    assert about("libraries", list(machine.check_machine(whole_run=False)))[0].level == Level.OK
    [problem] = about("libraries", list(machine.check_machine(whole_run=True)))
    assert problem.level == Level.PROBLEM
    assert "mlflow is not installed" in problem.text
    monkeypatch.setenv("MED42_RUNTIME", "tracking")
    [problem] = about("libraries", list(machine.check_machine(whole_run=False)))
    assert "mlflow is not installed" in problem.text, "an image has what its runtime needs"
