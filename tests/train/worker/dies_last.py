"""A training process, as torchrun starts it; the second one dies when the first has put the whole output."""

import os
import sys

from torch import distributed

from med42lib.train.worker import training


def die_last(waiting: distributed.ProcessGroup) -> None:
    distributed.barrier(group=waiting)
    os._exit(distributed.get_rank())


if __name__ == "__main__":
    training.leave_processes = die_last
    training.run_training(sys.argv[sys.argv.index("--job") + 1])
