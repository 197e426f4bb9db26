import time

import pytest

from med42lib.decontaminate.cores import in_cores


def test_results_come_in_order_though_later_pieces_are_done_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4")

    def work(piece: int) -> int:
        time.sleep(0.02 if piece == 0 else 0)
        return piece * piece

    assert list(in_cores(work, range(9))) == [piece * piece for piece in range(9)]


def test_after_an_error_no_further_piece_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    begun: list[int] = []

    def work(piece: int) -> int:
        begun.append(piece)
        time.sleep(0.001)
        return 1 // (piece - 2)

    with pytest.raises(ZeroDivisionError):
        list(in_cores(work, range(1000)))
    assert len(begun) < 900
