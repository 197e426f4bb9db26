"""One run after another of smoke.yaml, whose processes are killed (-9) at random moments, one after the other.

    python -m tests.end_to_end.kills KILLS [--s3]        in a folder, or on a real S3 server started for it

A run that does not survive is started again, until one ends well; then the next begins in a fresh store. What each
finds has to be, byte for byte, what an undisturbed run finds, and no process may outlive its run.
"""

from __future__ import annotations

import argparse
import collections
import random
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.end_to_end.conftest import scientific_content
from tests.end_to_end.race import start, stores
from tests.processes import gone

Kills = collections.Counter[tuple[str, str]]
"""How often which process was killed while which stage was the last to say something."""
SAVING = ("train.full.checkpoint_minutes=0", "train.lora.checkpoint_minutes=0")
"""Checkpoints as fast as they can be written, so that there is something to damage."""


def victims(run: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """List the processes of a run, itself first."""
    try:
        return [(top := psutil.Process(run.pid)), *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def stage_of(log: Path) -> str:
    """Name the stage that spoke last."""
    spoken = re.findall(r"\[([a-z_]+)\]", log.read_text())
    return spoken[-1] if spoken else "start"


def kill_one(run: subprocess.Popen[bytes], log: Path, kills: Kills) -> list[psutil.Process]:
    """Kill the run itself or one that it started; returns all that were there."""
    there = victims(run)
    if there:
        victim = random.choice(there)
        kills[stage_of(log), "run" if victim.pid == run.pid else f"child {victim.name()}"] += 1
        if victim.is_running():
            victim.kill()
    return there


def disturbed(store: str, home: Path, kills: Kills, wanted: int, seconds: float) -> Iterator[str]:
    """Start a run and kill one of its processes after the other, until a run ends well; yields what went wrong."""
    for number in range(1_000):
        run, log = start(store, home, number, sets=SAVING), home / f"run-{number}.log"
        there: list[psutil.Process] = []
        while run.poll() is None:
            try:
                run.wait(timeout=random.uniform(0.5, seconds) if kills.total() < wanted else 900)
            except subprocess.TimeoutExpired:
                there = kill_one(run, log, kills)
        time.sleep(3)
        yield from (f"pid {left.pid} outlived run {number}" for left in there if not gone(left.pid))
        if "Traceback" in log.read_text():
            yield f"run {number} ended with a traceback: {log.read_text()[-3000:]}"
        if run.returncode == 0:
            return


def main() -> int:
    """Kill until it is enough, and say what went wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kills", type=int)
    parser.add_argument("--s3", action="store_true")
    parser.add_argument("--seconds", type=float, default=20.0, help="the longest time between two kills")
    options = parser.parse_args()
    kills: Kills = collections.Counter()
    failed, rounds = 0, 0
    with stores(options.s3) as root, tempfile.TemporaryDirectory(prefix="kills-") as folder:
        home = Path(folder)
        start(f"{root}/undisturbed", home, 0, sets=SAVING).wait(timeout=900)
        expected = scientific_content(f"{root}/undisturbed", home / "cache")
        while kills.total() < options.kills:
            rounds, own = rounds + 1, home / str(rounds)
            own.mkdir()
            store = f"{root}/{uuid.uuid4().hex[:8]}"
            problems = list(disturbed(store, own, kills, options.kills, options.seconds))
            if scientific_content(store, own / "cache") != expected:
                problems.append("what it found is not what an undisturbed run finds")
            failed += bool(problems)
            print(f"round {rounds}, {kills.total()} kills so far", *problems or ["well"], sep="\n  ", flush=True)
    for (stage, victim), number in sorted(kills.items()):
        print(f"{number:4} {stage}: {victim}")
    print(f"{rounds - failed} of {rounds} rounds with {kills.total()} kills ended well")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
