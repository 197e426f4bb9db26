import os

import pytest

from med42lib.core.environment import num_cores, number_from_environment
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


def test_only_cores_that_this_process_may_use_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {1, 3, 5}, raising=False)
    assert num_cores() == 3
