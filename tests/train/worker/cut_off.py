"""A training process, as torchrun starts it, of which the last is killed while the others wait for it."""

import os
import signal
import sys
from pathlib import Path

import torch
from torch import distributed

from med42lib.core.process import die_with_parent
from med42lib.train.job import reported_errors

if __name__ == "__main__":
    die_with_parent()
    address = sys.argv[sys.argv.index("--job") + 1]
    with reported_errors(address, Path(address)):
        distributed.init_process_group("gloo")
        distributed.all_reduce(torch.ones(1))
        if distributed.get_rank() == distributed.get_world_size() - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        distributed.all_reduce(torch.ones(1))
