"""`python -m med42lib.train.worker --job ADDRESS`: a node of a training, or, under torchrun, one of its processes."""

import argparse
import os

from med42lib.core.process import die_with_parent, exit_at_once

if __name__ == "__main__":
    die_with_parent()  # Before our own imports: torch takes seconds.
    parser = argparse.ArgumentParser("med42lib.train.worker")
    parser.add_argument("--job", required=True, metavar="ADDRESS", help="where the stage `train` wrote the job")
    job_address = parser.parse_args().job

    from med42lib.train.worker.node import is_training_process, run_node

    if is_training_process(os.environ):
        from med42lib.train.worker.training import run_training

        run_training(job_address)
        exit_at_once(0)
    exit_at_once(run_node(job_address))
