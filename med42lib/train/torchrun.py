"""torchrun, except that it dies with the stage and says in one line which process failed, and how."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from med42lib.core.process import child_environment, die_with_parent, leave
from med42lib.train.request import Failure


def main(failure: Path, arguments: list[str]) -> int:
    """Run torchrun; returns its exit code.

    Args:
        failure: Where to say how a process failed that could not say so itself.
        arguments: torchrun's own.
    """
    die_with_parent()
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    os.environ.update(child_environment())
    try:
        run(parse_args(arguments))  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        rank, process = error.get_first_failure()
        Failure("killed", _describe(rank, process.exitcode, process.signal_name())).write(failure)
        return 1
    return 0


def _describe(rank: int, exit_code: int, signal_name: str) -> str:
    if exit_code >= 0:
        return f"process {rank} ended with exit code {exit_code}"
    reason = " (often: out of memory)" if signal_name == "SIGKILL" else ""
    return f"process {rank} was killed by {signal_name}{reason}"


if __name__ == "__main__":
    leave(main(Path(sys.argv[1]), sys.argv[2:]))
