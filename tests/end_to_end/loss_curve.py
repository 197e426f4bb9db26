"""A fine-tune of the demo's base that is killed twice with SIGKILL, beside an undisturbed one: the training chapter's
figure.

    python -m tests.end_to_end.loss_curve pipelines/loss-curve.svg

All processes of an attempt are killed at once, as when a node dies, and the same command is run again. It ends with
1 if any loss or the digest of the output differs. The figure is drawn in any case.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil

from med42lib.spec import load_spec
from med42lib.store.address import open_store
from med42lib.store.publish import sealed_outputs
from tests.conftest import REPOSITORY
from tests.end_to_end.conftest import MED42
from tests.processes import wait_for
from tests.train.attempts import Attempts
from tests.train.conftest import read_metric

DEMO = REPOSITORY / "pipelines/specs/demo.yaml"
CONFIG = load_spec(DEMO).train["full"].model_copy(update={"epochs": 4, "checkpoint_minutes": 0.02})
KILLED_NEAR = (0.35, 0.7)
"""Shares of the training after which it is killed."""
PATIENCE = 3600
SPOOLED, PUT = ".scratch*/*/out", "train/k/*/trained"
"""Where an attempt writes its metrics while it trains, and where they are when it has trained."""

WIDTH, HEIGHT, LEFT, TOP, FLOOR = 760, 340, 46, 16, 300
COLOURS = ("#1f5fa8", "#b0490f", "#2d7d46")
Part = list[tuple[int, float]]
"""Steps that one attempt made, from 1, and their losses."""


def make_inputs(folder: Path) -> tuple[Path, Path]:
    """Run the demo until its data are packed and its base is there."""
    store = open_store(str(folder / "demo"))
    with (folder / "demo.log").open("wb") as log:
        run = subprocess.Popen([*MED42, "run", str(DEMO), "--store", str(folder / "demo")], stdout=log, stderr=log)
        wanted = (("pack", "packed"), ("fetch_model", "model"))
        wait_for(lambda: all(any(sealed_outputs(store, *output)) for output in wanted), seconds=PATIENCE)
        run.terminate()
        run.wait()
    packed, model = (next(iter(sealed_outputs(store, *output))) for output in wanted)
    return Path(packed), Path(model)


def losses_in(attempts: Attempts, pattern: str) -> list[float]:
    """Read the losses of the attempt that wrote last, in a folder that matches a pattern; none if there is none yet."""
    found = sorted(Path(attempts.store).glob(f"{pattern}/metrics.jsonl"), key=lambda path: path.stat().st_mtime)
    return read_metric(found[-1].parent, "loss") if found else []


def kill_all(attempt: subprocess.Popen[str]) -> None:
    """Kill all processes of an attempt, none of which can do anything before it dies."""
    tree = [psutil.Process(attempt.pid), *psutil.Process(attempt.pid).children(recursive=True)]
    for process in tree:
        process.send_signal(signal.SIGKILL)
    attempt.communicate()
    psutil.wait_procs(tree, timeout=60)


def finish(attempts: Attempts) -> tuple[str, float]:
    """Run an attempt to its end; returns the output's digest and how many seconds it took."""
    started, attempt = time.monotonic(), attempts.start()
    digest, said = attempt.communicate(timeout=PATIENCE)
    if attempt.returncode:
        sys.exit(said)
    return digest.strip(), time.monotonic() - started


def killed_at(attempts: Attempts, step: int) -> Part:
    """Kill an attempt that has made so many steps, some of them not saved; returns its own steps with their losses."""
    own, attempt = newest_step(attempts), attempts.start()
    wait_for(
        lambda: own < newest_step(attempts) < len(losses_in(attempts, SPOOLED)) >= step,
        seconds=PATIENCE,
    )
    kill_all(attempt)
    return numbered(losses_in(attempts, SPOOLED))[own:]


def newest_step(attempts: Attempts) -> int:
    """Say after which step the newest checkpoint was saved; 0 if there is none."""
    newest = attempts.checkpoints.newest()
    return 0 if newest is None else newest.step


def numbered(losses: list[float]) -> Part:
    """Give losses with their steps, from 1."""
    return list(enumerate(losses, start=1))


@dataclass
class Outcome:
    """An undisturbed training, and the attempts at another, of which the last got through."""

    losses: list[float]
    seconds: float
    parts: list[Part]
    resumed: list[float]
    digests: set[str]

    @classmethod
    def measure(cls, folder: Path) -> Outcome:
        """Train both ways."""
        packed, model = make_inputs(folder)
        whole, killed = (
            Attempts(packed, model, str(folder / name / "store"), folder / name, CONFIG) for name in ("whole", "killed")
        )
        whole.folder.mkdir()
        killed.folder.mkdir()
        digest, seconds = finish(whole)
        losses = losses_in(whole, PUT)
        parts = [killed_at(killed, int(share * len(losses))) for share in KILLED_NEAR]
        own = newest_step(killed)
        digest_of_killed, _ = finish(killed)
        resumed = losses_in(killed, PUT)
        return cls(losses, seconds, [*parts, numbered(resumed)[own:]], resumed, {digest, digest_of_killed})

    @property
    def is_same(self) -> bool:
        """Whether output, losses, and losses of steps that were lost and made again are the same to the bit."""
        made = [step for part in self.parts for step in part]
        return len(self.digests) == 1 and self.resumed == self.losses and set(made) == set(numbered(self.losses))

    def lines(self) -> Iterator[str]:
        """Say what was measured."""
        yield f"{len(self.losses)} steps in {self.seconds:.0f} s, loss {self.losses[0]:.3f} to {self.losses[-1]:.3f}"
        for part, after in pairwise(self.parts):
            killed, again = part[-1][0], after[0][0]
            yield f"killed after step {killed}, went on with step {again}: {killed - again + 1} steps were made again"
        yield f"digests {self.digests}; all the same: {self.is_same}"


@dataclass
class Drawing:
    """Losses by step: the undisturbed training's broad and pale, over it one line for each attempt."""

    outcome: Outcome

    def svg(self) -> str:
        """Draw it."""
        losses = self.outcome.losses
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"',
            'font-size="12"><rect width="100%" height="100%" fill="#fff"/><g fill="none">',
            f'<polyline points="{self.points(numbered(losses))}" stroke="#e3d48f" stroke-width="8"/>',
            *(
                f'<polyline points="{self.points(part)}" stroke="{colour}" stroke-width="1.6"/>'
                for part, colour in zip(self.outcome.parts, COLOURS, strict=True)
            ),
            f'<path d="M{LEFT},{TOP}V{FLOOR}H{WIDTH}" stroke="#777"/></g>',
            *(self.mark(part[-1][0], after[0][0]) for part, after in pairwise(self.outcome.parts)),
            f'<g text-anchor="end"><text x="{LEFT - 6}" y="{TOP + 8}">{max(losses):.2f}</text>',
            f'<text x="{LEFT - 6}" y="{FLOOR}">{min(losses):.2f}</text>',
            f'<text x="{WIDTH - 8}" y="{FLOOR + 16}">step {len(losses)}</text></g>',
            f'<text x="{LEFT}" y="{FLOOR + 16}">1</text><text x="{LEFT}" y="{FLOOR + 31}">nats per response token: '
            "undisturbed (broad), and three attempts at the same training (thin)</text></svg>",
        ]
        return "\n".join(lines) + "\n"

    def mark(self, killed: int, again: int) -> str:
        """Mark where an attempt was killed."""
        x = self.x(killed)
        return (
            f'<path d="M{x:.1f},{TOP}V{FLOOR}" stroke="#a00" stroke-dasharray="4 3"/>'
            f'<text x="{x + 5:.1f}" y="{TOP + 12}" fill="#a00">kill -9 after step {killed}</text>'
            f'<text x="{x + 5:.1f}" y="{TOP + 27}">goes on with step {again}</text>'
        )

    def points(self, part: Part) -> str:
        """Give a line's corners."""
        low, high = min(self.outcome.losses), max(self.outcome.losses)
        return " ".join(
            f"{self.x(step):.1f},{TOP + (high - loss) / (high - low) * (FLOOR - TOP):.1f}" for step, loss in part
        )

    def x(self, step: int) -> float:
        """Give a step's place from left to right."""
        return LEFT + (step - 1) / (len(self.outcome.losses) - 1) * (WIDTH - LEFT - 8)


def main() -> int:
    """Train both ways, compare, and draw."""
    parser = argparse.ArgumentParser()
    parser.add_argument("figure", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="loss-curve-") as home:
        outcome = Outcome.measure(Path(home))
    print(*outcome.lines(), sep="\n")
    options.figure.write_text(Drawing(outcome).svg(), encoding="utf-8")
    return 0 if outcome.is_same else 1


if __name__ == "__main__":
    sys.exit(main())
