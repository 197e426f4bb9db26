"""`python -m med42lib.train.worker --job ADDRESS`: a node of a training, or, under torchrun, one of its processes.

With `--job-json JSON` nodes need nobody who wrote the job before: the first writes it to its address.
"""

import argparse
import os

from med42lib.core.process import die_with_parent, end_with, leave_process_1_to_signals

if __name__ == "__main__":
    # Before our own imports: torch takes seconds.
    leave_process_1_to_signals()
    die_with_parent()
    parser = argparse.ArgumentParser("med42lib.train.worker")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--job", metavar="ADDRESS", help="where the stage `train` wrote the job")
    which.add_argument("--job-json", metavar="JSON", help="the job itself, as `med42 k8s render` writes it")
    given = parser.parse_args()

    from med42lib.train.job import TrainingJob
    from med42lib.train.worker.node import is_training_process, run_node

    job_address = given.job
    if given.job_json:
        job = TrainingJob.from_json(given.job_json)
        job.write()
        job_address = job.address

    if is_training_process(os.environ):
        from med42lib.train.worker.training import run_training

        end_with(lambda: run_training(job_address))
    end_with(lambda: run_node(job_address))
