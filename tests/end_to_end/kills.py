"""A small run that is killed at random moments until it is through, then another, on a new store.

    python -m tests.end_to_end.kills KILLS            in folders
    python -m tests.end_to_end.kills KILLS --s3       on a real S3 server started for it

Each time one process of the run's tree is killed with SIGKILL: the driver, a stage, torchrun's agent, a training
process. Training saves after every step. Every run that gets through has to have found what an undisturbed one finds,
bit for bit, with nothing recorded twice. At the end it says how many kills hit which stage and which process.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from tests.end_to_end.conftest import MED42, SMOKE, scientific_content
from tests.end_to_end.race import NUM_STAGES, doubled, stores

LONGER = [
    f"train.{name}.{setting}" for name in ("full", "lora") for setting in ("max_steps=12", "checkpoint_minutes=0")
]
STARTED = re.compile(r"\((\d+)/\d+\) (\S+)")
SECONDS_TO_END = 900  # a run that lost only its fork server goes on to its end


class Run:
    """One run, killed and started again on the same store."""

    def __init__(self, store: str, home: Path) -> None:
        self.store, self.home = store, home
        self.log = home / "log"

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, or start it again; it leads a process group of its own."""
        own = {"MED42_HOME": str(self.home / "home"), "HF_HUB_OFFLINE": "1", "MED42_MAX_RESTARTS": "1000"}
        environment = {**os.environ, **own}
        environment.pop("MLFLOW_TRACKING_URI", None)
        command = [*MED42, "run", str(SMOKE), "--store", self.store, *(f"--set={override}" for override in LONGER)]
        with self.log.open("wb") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=self.home, env=environment)

    def stage(self) -> str:
        """Name the stage that was begun last."""
        begun = STARTED.findall(self.log.read_text(errors="replace"))
        return begun[-1][1] if begun else "before the first"

    def content(self) -> dict[str, Any]:
        """Gather what the run found."""
        with tempfile.TemporaryDirectory() as cache:
            return scientific_content(self.store, Path(cache))


def kill_one(run: subprocess.Popen[bytes]) -> str:
    """Kill one process of a run's tree, each as likely as the others; says which, by its place in the tree."""
    try:
        root = psutil.Process(run.pid)
        chosen = random.choice([root, *root.children(recursive=True)])
        depth = chosen.parents().index(root) + 1 if chosen != root else 0
        command = " ".join(chosen.cmdline())
        chosen.send_signal(signal.SIGKILL)
    except (psutil.NoSuchProcess, ValueError):
        return "gone already"
    kinds = {"tracker": "resource_tracker", "fork": "forkserver", "stage": "med42lib stage", "training": "train.worker"}
    return f"{depth} below the driver: {next((kind for kind, word in kinds.items() if word in command), 'other')}"


def tree(run: subprocess.Popen[bytes]) -> str:
    """Show which processes of a run are left, and what they wait for."""
    left = [psutil.Process(run.pid), *psutil.Process(run.pid).children(recursive=True)]
    return "\n".join(
        f"{each.pid} of {each.ppid()}: {each.status()} in {Path(f'/proc/{each.pid}/wchan').read_text()}: "
        f"{' '.join(each.cmdline())[:300]}"
        for each in left
    )


def torment(run: Run, most_seconds: float, killed: Counter[tuple[str, str]]) -> list[str]:
    """Kill a run until it gets through; returns what went wrong otherwise."""
    while True:
        process = run.start()
        try:
            code = process.wait(timeout=random.uniform(0.5, most_seconds))
        except subprocess.TimeoutExpired:
            victim = run.stage(), kill_one(process)
            killed[victim] += 1
            try:
                code = process.wait(timeout=SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                left = tree(process)
                process.kill()
                return [f"it hung after {victim}: {run.log.read_text(errors='replace')[-1000:]}\n{left}"]
            if code == 1:
                return [f"{victim} became a bug of ours: {run.log.read_text(errors='replace')[-3000:]}"]
        else:
            if code != 0:
                return [f"unharmed, it ended with {code}: {run.log.read_text(errors='replace')[-3000:]}"]
        if code == 0:
            return []


def judge(run: Run, undisturbed: dict[str, Any]) -> list[str]:
    """Compare a run that got through with the undisturbed one."""
    found = run.content()
    problems = [f"{name} differs" for name in sorted(undisturbed) if found.get(name) != undisturbed[name]]
    problems += [f"{name} is too much" for name in sorted(found.keys() - undisturbed.keys())]
    return problems + doubled(run.store, run.home, NUM_STAGES[False])


def main() -> int:
    """Run until enough was killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kills", type=int)
    parser.add_argument("--s3", action="store_true")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long a run may live before it is killed")
    options = parser.parse_args()
    killed: Counter[tuple[str, str]] = Counter()
    rounds = failed = 0
    with stores(options.s3) as root:
        with tempfile.TemporaryDirectory(prefix="kills-") as home:
            first = Run(f"{root}/undisturbed", Path(home))
            if first.start().wait(timeout=900) != 0:
                sys.exit(f"the undisturbed run failed: {first.log.read_text(errors='replace')[-3000:]}")
            undisturbed = first.content()
        while killed.total() < options.kills:
            with tempfile.TemporaryDirectory(prefix="kills-") as home:
                run, before, began = Run(f"{root}/{uuid.uuid4().hex[:8]}", Path(home)), killed.total(), time.monotonic()
                problems = torment(run, options.seconds, killed) or judge(run, undisturbed)
            rounds, failed = rounds + 1, failed + bool(problems)
            told = f"run {rounds}: {killed.total() - before} kills, {time.monotonic() - began:.0f} s"
            print(told, *problems or ["well"], sep="\n  ", flush=True)
    for (stage, place), count in sorted(killed.items()):
        print(f"{count:4} {stage}, {place}")
    print(f"{killed.total()} kills; {rounds - failed} of {rounds} runs ended as the undisturbed one")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
