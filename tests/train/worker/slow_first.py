"""A training process, as torchrun starts it, whose first process writes and puts for longer than the others wait."""

import sys
import time
from datetime import timedelta
from typing import Any

from torch import distributed

from med42lib.train import weights
from med42lib.train.worker import training

SECONDS_OF_PATIENCE = 2
save, save_file, put = training._save, weights.save_file, training._put


def impatient_save(*arguments: Any, **options: Any) -> None:
    distributed.distributed_c10d._set_pg_timeout(timedelta(seconds=SECONDS_OF_PATIENCE))
    save(*arguments, **options)


def slow_save_file(*arguments: Any, **options: Any) -> None:
    weights.save_file = save_file  # of several files only the first is slow
    time.sleep(2 * SECONDS_OF_PATIENCE)
    save_file(*arguments, **options)


def slow_put(*arguments: Any) -> None:
    time.sleep(2 * SECONDS_OF_PATIENCE)
    put(*arguments)


if __name__ == "__main__":
    weights.save_model.__kwdefaults__["max_shard_bytes"] = 1
    training._save, weights.save_file, training._put = impatient_save, slow_save_file, slow_put
    training.run_training(sys.argv[sys.argv.index("--job") + 1])
