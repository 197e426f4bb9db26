from collections import Counter

import numpy as np
import pytest

from med42lib.train.batches import BLANK, epoch_order, share, steps
from med42lib.train.config import TrainConfig
from med42lib.train.fit import count_steps

STONE = [0, 1, 5, 3, 4, 2]


def test_the_example_of_the_docstring() -> None:
    first, second = np.array([3, 0, 4, 1]), np.array([2, BLANK, BLANK, BLANK])

    def shares(step: np.ndarray) -> list[list[list[int]]]:
        return [share(step, process=p, num_processes=2, micro_batch_size=1).tolist() for p in (0, 1)]

    assert shares(first) == [[[3], [4]], [[0], [1]]]
    assert shares(second) == [[[2], [BLANK]], [[BLANK], [BLANK]]]


@pytest.mark.parametrize("num_processes", [1, 2, 4])
def test_every_process_together_see_every_chunk_once_per_epoch(config: TrainConfig, num_processes: int) -> None:
    seen: Counter[int] = Counter()
    for step in steps(9, config):
        for process in range(num_processes):
            mine = share(step, process=process, num_processes=num_processes, micro_batch_size=1)
            seen.update(mine.ravel().tolist())
    assert seen.pop(BLANK) == 6
    assert seen == dict.fromkeys(range(9), config.epochs)


def test_a_step_holds_the_same_chunks_for_any_number_of_processes(config: TrainConfig) -> None:
    step = next(steps(9, config))
    for num_processes in (1, 2, 4):
        parts = [share(step, process=p, num_processes=num_processes, micro_batch_size=1) for p in range(num_processes)]
        assert sorted(np.concatenate(parts).ravel()) == sorted(step)


def test_several_chunks_in_a_forward_pass() -> None:
    mine = share(np.arange(8), process=1, num_processes=2, micro_batch_size=2)
    assert mine.tolist() == [[2, 3], [6, 7]]


def test_the_order_depends_on_seed_and_epoch_and_is_written_in_stone() -> None:
    assert epoch_order(6, seed=0, epoch=0).tolist() == STONE
    assert epoch_order(6, seed=0, epoch=1).tolist() != STONE
    assert epoch_order(6, seed=1, epoch=0).tolist() != STONE
    assert sorted(epoch_order(1000, seed=5, epoch=2)) == list(range(1000))


def test_an_epochs_last_step_counts_whole(config: TrainConfig) -> None:
    assert count_steps(8, config) == 4
    assert count_steps(9, config) == 6
    assert len(list(steps(9, config))) == 6
    assert len(list(steps(8, config))) == 4


def test_a_cap_ends_training_early(config: TrainConfig) -> None:
    capped = config.model_copy(update={"max_steps": 4})
    assert count_steps(9, capped) == 4
    whole = list(steps(9, config))
    assert [step.tolist() for step in steps(9, capped)] == [step.tolist() for step in whole[:4]]
    assert count_steps(2, capped) == 2
