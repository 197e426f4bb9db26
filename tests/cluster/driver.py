"""The driver of a training job in a process of its own: python -m tests.cluster.driver JOB_ADDRESS

Ends as the stage `train` would, with the same exit code, and looks every second.
"""

from __future__ import annotations

import logging
import signal
import sys

from med42lib.commands.main import _on_terminate
from med42lib.core.errors import Med42Error
from med42lib.core.log import LOGGER_NAME, set_up_logging
from med42lib.core.stop_signal import StopSignal
from med42lib.train.job import TrainingJob
from med42lib.train.launchers.pytorchjob import PyTorchJobLauncher


def main(address: str) -> int:
    """Run a job that was written."""
    signal.signal(signal.SIGTERM, _on_terminate)
    set_up_logging()
    try:
        PyTorchJobLauncher(seconds_between_looks=1).run(TrainingJob.read(address), StopSignal())
    except Med42Error as error:
        logging.getLogger(LOGGER_NAME).error("%s: %s", type(error).__name__, error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
