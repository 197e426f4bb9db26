"""A training process, as torchrun starts it, whose first process writes for longer than the others would wait."""

import sys
import time
from datetime import timedelta
from typing import Any

from torch import distributed

from med42lib.train.worker import training

SECONDS_OF_PATIENCE = 2
save = training._save


def slow_save(*arguments: Any, **options: Any) -> None:
    distributed.distributed_c10d._set_pg_timeout(timedelta(seconds=SECONDS_OF_PATIENCE))
    save(*arguments, **options)
    if distributed.get_rank() == 0:
        time.sleep(2 * SECONDS_OF_PATIENCE)


if __name__ == "__main__":
    training._save = slow_save
    training.run_training(sys.argv[sys.argv.index("--job") + 1])
