"""A worker that trains nothing; `MED42_STAND_IN` says what it does instead."""

import os
import signal
import sys
import time
from pathlib import Path

from med42lib.core.errors import DivergedError
from med42lib.core.log import log, log_place, set_up_logging
from med42lib.train.job import reported_errors
from tests.hostile import UNSEEN_IN_UTF_8


def healthy(_job: str) -> None:
    sys.stdout.write(f"rank {os.environ['RANK']} of {os.environ['WORLD_SIZE']}\n")


def killed(_job: str) -> None:
    sys.stderr.write("about to die\n")
    if os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def deaf(job: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(job).mkdir(parents=True, exist_ok=True)
    Path(job, f"deaf-{os.environ['RANK']}").touch()
    time.sleep(60)


def telling(_job: str) -> None:
    if os.environ["RANK"] == "0":
        sys.stdout.write(f"HF_TOKEN=hunter2 {UNSEEN_IN_UTF_8}")
        sys.stdout.flush()
        sys.stdout.write("\n 10%\r 20%\r\n-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\nend")


def logging_in_json(_job: str) -> None:
    with log_place(rank=os.environ["RANK"]):
        set_up_logging()
        log("train").info("token=hunter2 of %s", os.environ["RANK"])
        sys.stderr.write("a library says password=hunter2\n")


def failing(job: str) -> None:
    with reported_errors(job, Path(job)):
        if os.environ["RANK"] == "1":
            raise DivergedError("at step 3")
        time.sleep(60)


def run_training(job: str) -> None:
    """Do as the environment says; the real worker has a function of this name."""
    globals()[os.environ["MED42_STAND_IN"]](job)
    sys.stdout.flush()
    sys.stderr.flush()
