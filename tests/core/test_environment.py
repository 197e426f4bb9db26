import os
from pathlib import Path

import pytest

from med42lib.core import environment
from med42lib.core.environment import (
    THREADS_VARIABLE,
    cpu_limit,
    heed_given_proxies,
    limit_threads,
    memory_bytes,
    num_cores,
    number_from_environment,
    proxy_of,
    threads_asked_for,
)
from med42lib.core.errors import EnvironmentProblem

VARIABLE = "MED42_TEST_NUMBER"


def test_a_number_of_the_environment_is_read_and_may_be_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert number_from_environment(VARIABLE) is None
    monkeypatch.setenv(VARIABLE, "12")
    assert number_from_environment(VARIABLE) == 12


@pytest.mark.parametrize("value", ["0", "two", "-1", "1.5", "", "²"])
def test_what_is_no_number_above_0_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(EnvironmentProblem, match=f"{VARIABLE}={value!r}: expected a whole number above 0"):
        number_from_environment(VARIABLE)


@pytest.fixture
def eight_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 8 cores; the folder of its control groups, where no limit is yet."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: range(8), raising=False)
    monkeypatch.setattr(environment, "_CGROUPS", tmp_path)
    monkeypatch.delenv(THREADS_VARIABLE, raising=False)
    return tmp_path


def limit(cgroups: Path, quota: int | str, period: int = 100_000) -> None:
    (cgroups / "cpu.max").write_text(f"{quota} {period}\n")


def test_only_cores_that_this_process_may_use_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {1, 3, 5}, raising=False)
    assert num_cores() == 3


@pytest.mark.parametrize(("quota", "cores"), [(200_000, 2), (250_000, 2), (50_000, 1), (1_600_000, 8), ("max", 8)])
def test_a_containers_cpu_limit_counts_and_not_the_nodes_cores(eight_cores: Path, quota: int | str, cores: int) -> None:
    limit(eight_cores, quota)
    assert num_cores() == cores


@pytest.mark.parametrize("place", ["memory.max", "memory/memory.limit_in_bytes"])
@pytest.mark.parametrize(("limit", "expected"), [("1000000", 10**6), ("max", 2**30), (str(2**60), 2**30)])
def test_memory_is_the_containers_limit_if_that_is_less_than_the_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, limit: str, expected: int
) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 2**12, "SC_PHYS_PAGES": 2**18}.__getitem__)
    monkeypatch.setattr(environment, "_CGROUPS", tmp_path)
    assert memory_bytes() == 2**30
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(f"{limit}\n")
    assert memory_bytes() == expected


@pytest.mark.parametrize(("quota", "cores"), [("300000", 3.0), ("-1", None)])
def test_a_limit_in_version_1_of_cgroups_counts_too(tmp_path: Path, quota: str, cores: float | None) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cpu_limit(tmp_path) == cores


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert cpu_limit(tmp_path / "absent") is None


def test_numeric_libraries_keep_to_the_limit_unless_the_user_says_otherwise(
    eight_cores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    limit_threads()
    assert THREADS_VARIABLE not in os.environ, "without a limit they know best"
    limit(eight_cores, 400_000)
    limit_threads()
    assert (os.environ[THREADS_VARIABLE], threads_asked_for()) == ("4", None)
    os.environ[THREADS_VARIABLE] = "6"
    limit_threads()
    assert (os.environ[THREADS_VARIABLE], threads_asked_for()) == ("6", "6")


def test_a_proxy_that_a_step_is_given_is_heeded_where_the_environment_names_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MED42_HTTPS_PROXY", "http://given:3128")
    monkeypatch.setenv("MED42_NO_PROXY", ".given")
    monkeypatch.setenv("no_proxy", ".kubeflows")
    heed_given_proxies()
    assert proxy_of("https://hub.example") == "http://given:3128"
    assert proxy_of("https://store.kubeflows") is None
    assert "NO_PROXY" not in os.environ
    assert proxy_of("http://hub.example") is None
    monkeypatch.delenv("HTTPS_PROXY")  # set by us, so not by monkeypatch
