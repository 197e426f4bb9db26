"""Start stages with their slow imports already done, for runs on one machine.

torch, transformers and lm-eval take 5 s to 8 s to import, which is most of a small run. So while the first stages
work, one process imports them once (Python's own fork server), and later stages are forks of it:

    med42 run ──► fork server ──► stage process ──► torchrun ──► training processes
         each arrow: killed by the kernel when `med42 run` is gone (`med42lib.core.process`)

A stage started so is the same command with the same exit code. A run that only reuses what is there starts no server,
and neither does one on a machine with GPUs: CUDA does not work in forks of a process that has looked for devices.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.forkserver import ensure_running

from med42lib.core.process import FORK_SERVER, PARENT_VARIABLE, START_METHOD_VARIABLE, end_with, has_accelerator
from pipelines.stopping import wait_for_stage

STAGES = frozenset({"embed_questions", "decontaminate", "pack", "train", "answer_questions", "evaluate"})
"""The stages that gain, and whose imports do not depend on the environment: fetch_model may have to ask the hub."""

LAST_STAGES = frozenset({"package_model", "report", "register"})
"""When these work, no stage that gains is still to come."""

ALWAYS_AT_WORK = frozenset({"check"})
"""It looks at everything each time, so its time says nothing of what is to come."""

SECONDS_OF_WORK = 1.0
"""A stage that takes longer is not just reused, so the next ones will have to work too."""

_IMPORTS = "pipelines.warm_imports"
_CONTEXT = multiprocessing.get_context("forkserver")


class WarmProcesses:
    """A fork server that is started when there is work, and dies with this process.

    For use in a block of `children_die_with_this_process`.
    """

    def __init__(self) -> None:
        self._started = threading.Event()

    @contextmanager
    def started_if_slow(self, stage: str) -> Iterator[None]:
        """Start the server if the body, which runs a stage, takes long; the body goes on meanwhile."""
        timer = threading.Timer(SECONDS_OF_WORK, self._start)
        timer.daemon = True
        if stage not in LAST_STAGES | ALWAYS_AT_WORK and not has_accelerator() and not self._started.is_set():
            timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def can_run(self, stage: str) -> bool:
        """Say whether this stage, at this moment, should start warm."""
        return stage in STAGES and self._started.is_set()

    def run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
        """Run `med42 ARGUMENTS` in a fork, once the server is ready.

        Returns:
            Its exit code, or minus the number of the signal that ended it.
        """
        process = _CONTEXT.Process(target=_med42, args=(list(arguments), dict(environment)))
        try:
            process.start()
        except (EOFError, ConnectionError):  # the server was killed, and its forks with it
            return -signal.SIGKILL
        wait_for_stage(process)
        assert process.exitcode is not None
        return process.exitcode

    def _start(self) -> None:
        _CONTEXT.set_forkserver_preload([FORK_SERVER, _IMPORTS])
        ensure_running()
        self._started.set()
        # The kernel kills a child when the thread that started it ends, so this one stays as long as the process.
        threading.Event().wait()


def _med42(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    os.environ.pop(PARENT_VARIABLE, None)  # The parent is the fork server.
    os.environ[START_METHOD_VARIABLE] = "fork"
    from med42lib.commands.main import main

    end_with(lambda: main(arguments))
