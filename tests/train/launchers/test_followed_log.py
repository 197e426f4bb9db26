import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone

import pytest

from med42lib.train.launchers.cluster import Cluster
from med42lib.train.launchers.followed_log import followed_log
from med42lib.train.launchers.output import LiveOutput
from tests.processes import wait_for
from tests.train.launchers.kubernetes_api import DROPPED, KubernetesApi

POD = "a-master-0"


@contextmanager
def followed(api: KubernetesApi, cluster: Cluster) -> Iterator[None]:
    """Follow a pod's log until the block, and then its container, ends."""
    api.put_pod("a", "master-0", "Running")
    with followed_log(cluster, POD, LiveOutput()):
        yield
        api.ended_logs.add(POD)


def passed_on(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_log_that_breaks_goes_on_behind_its_last_line_and_fails_nothing(
    api: KubernetesApi, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    with followed(api, cluster):
        api.write_log(POD, "first", DROPPED)
        wait_for(lambda: api.asked("GET", "follow") >= 2)
        time.sleep(0.2)
        api.write_log(POD, "second")
    assert passed_on(capsys) == ["first", DROPPED, "second"]


def test_a_line_whose_time_is_none_ends_no_log(
    api: KubernetesApi, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    with followed(api, cluster):
        api.logs[POD] = ["2026-99-99T99:99:99Z broken\n"]
        api.write_log(POD, "second")
    assert passed_on(capsys) == ["second"]


def test_no_line_is_lost_when_a_nodes_clock_goes_back_from_summer_time(
    api: KubernetesApi, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    now = datetime.now(UTC)
    summer, winter = (now.astimezone(timezone(timedelta(hours=hours))) for hours in (2, 1))
    lines = {"before": summer, "after": winter + timedelta(seconds=1)}
    with followed(api, cluster):
        api.logs[POD] = [f"{when.isoformat()} {text}\n" for text, when in lines.items()]
    assert passed_on(capsys) == ["before", "after"]
