import pytest

from med42lib.train.schedule import Schedule


def test_six_steps_with_two_of_warm_up() -> None:
    schedule = Schedule(peak=1.0, num_warmup_steps=2, num_steps=6, min_ratio=0.1)
    rates = [schedule.rate(step) for step in range(6)]
    assert rates == pytest.approx([0.5, 1.0, 0.8682, 0.55, 0.2318, 0.1], abs=1e-4)


def test_the_papers_schedule_peaks_after_100_steps_and_ends_at_a_tenth() -> None:
    schedule = Schedule(peak=5e-5, num_warmup_steps=100, num_steps=3000, min_ratio=0.1)
    assert schedule.rate(0) == pytest.approx(5e-7)
    assert schedule.rate(99) == pytest.approx(5e-5)
    assert schedule.rate(2999) == pytest.approx(5e-6)
    assert max(range(3000), key=schedule.rate) == 99


def test_without_warm_up_the_cosine_starts_at_once() -> None:
    schedule = Schedule(peak=1.0, num_warmup_steps=0, num_steps=1, min_ratio=0.1)
    assert schedule.rate(0) == pytest.approx(0.1)
