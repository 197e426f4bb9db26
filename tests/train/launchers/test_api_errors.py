import time

import pytest

from med42lib.train.launchers.api_errors import Trouble


def test_a_server_that_is_away_for_days_is_asked_again_each_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    trouble = Trouble(1.0)
    for _ in range(2_000):
        trouble.wait(OSError("no route to host"))
    assert pauses[0] <= 1.0
    assert all(40.0 < pause <= 60.0 for pause in pauses[10:])
