import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from med42lib.core.stop_signal import StopSignal


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_in_its_block_a_signal_only_sets_it(number: signal.Signals, exit_code: int) -> None:
    with StopSignal() as stopping:
        assert not stopping.is_set()
        os.kill(os.getpid(), number)
        assert stopping.is_set()
    assert stopping.exit_code == exit_code


def test_outside_of_its_block_signals_do_what_they_did() -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        with StopSignal() as stopping:
            pass
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM]
    assert not stopping.is_set()


def test_a_thread_may_open_it_too() -> None:
    def open_it() -> bool:
        with StopSignal() as stopping:
            return stopping.is_set()

    with ThreadPoolExecutor() as threads:
        assert threads.submit(open_it).result() is False
