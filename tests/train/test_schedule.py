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


@pytest.mark.parametrize("num_steps", [1320, 3520], ids=["full, 3 epochs", "lora, 8 epochs"])
def test_every_steps_rate_is_that_of_torchs_own_warm_up_and_cosine(num_steps: int) -> None:
    from torch import nn
    from torch.optim import SGD
    from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

    optimizer = SGD([nn.Parameter()], lr=1e-4)
    warm_up = LinearLR(optimizer, start_factor=1 / 100, total_iters=99)
    cosine = CosineAnnealingLR(optimizer, T_max=num_steps - 100, eta_min=1e-5)
    peer = SequentialLR(optimizer, [warm_up, cosine], milestones=[99])
    schedule = Schedule(peak=1e-4, num_warmup_steps=100, num_steps=num_steps, min_ratio=0.1)
    for step in range(num_steps):
        assert schedule.rate(step) == pytest.approx(peer.get_last_lr()[0], rel=1e-9), step
        optimizer.step()
        peer.step()
