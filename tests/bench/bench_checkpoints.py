"""What saving costs a training: our checkpoints against DeepSpeed's own, in one process, on the same engine.

    python tests/bench/bench_checkpoints.py
    python tests/bench/bench_checkpoints.py --hidden 768 --layers 12 --steps 30

First the size of a checkpoint, and how long training waits for it: DeepSpeed's `save_checkpoint` (without frozen
weights, to a local disk) against ours, whose writing goes on in a thread; and how long the disk alone takes for as many
bytes. Then how long a process takes to its first step, when it begins and when it goes on. Then the same steps twice,
without saving and with it, on a store that takes so many megabytes a second, so that something is being stored nearly
all the time.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))
from tests.processes import ALONE  # noqa: E402

os.environ.update(ALONE)

from med42lib.formats.packed import PackedDataset  # noqa: E402
from med42lib.store.address import open_store  # noqa: E402
from med42lib.store.artifacts import Target  # noqa: E402
from med42lib.store.checkpoints import Checkpoints  # noqa: E402
from med42lib.store.manifest import FileEntry  # noqa: E402
from med42lib.train.batches import steps  # noqa: E402
from med42lib.train.config import TrainConfig  # noqa: E402
from med42lib.train.loop import Totals, train_steps  # noqa: E402
from med42lib.train.schedule import Schedule  # noqa: E402
from med42lib.train.worker import deepspeed_engine  # noqa: E402
from med42lib.train.worker.checkpointing import Checkpointing  # noqa: E402
from tests.bench.measured import measure  # noqa: E402
from tests.tiny_llama import make_llama  # noqa: E402
from tests.train.conftest import FULL, job_of, write_packed  # noqa: E402

MB, GIB = 1_000_000, 1 << 30
VOCABULARY = 8192
ONE_STEP = """
import os, sys
from med42lib.train import loop
from med42lib.train.worker import training
def leave(number, *_):
    print(number, flush=True)
    os._exit(0)
loop.check_finite = leave  # what is asked after each step
training.run_training(sys.argv[1])
"""


class SlowCheckpoints(Checkpoints):
    """Checkpoints in a store that takes so many bytes a second."""

    def __init__(self, folder: Path, bytes_per_second: float) -> None:
        super().__init__(open_store(str(folder)), "train/bench", "one")
        self._rate = bytes_per_second

    def put(self, step: int, name: str, path: Path) -> FileEntry:
        time.sleep(path.stat().st_size / self._rate)
        return super().put(step, name, path)


def main() -> None:
    options = parse_options()
    config = FULL.model_copy(update={"zero_stage": options.zero, "epochs": 1000, "precision": options.precision})
    waiting = deepspeed_engine.join_processes(config)
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        folder = Path(scratch)
        data = make_inputs(folder, options)
        engine = deepspeed_engine.make_engine(config, folder / "base/model")
        run = Steps(engine, data, config)
        run.seconds(2)  # AdamW makes its state in the first
        num_bytes = compare_saving(engine, folder, options.repeats)
        compare_starts(engine, config, folder, options.repeats)
        compare_training(run, folder, options, seconds_between=num_bytes / MB / options.mb_per_second)
    deepspeed_engine.leave_processes(waiting)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=512, help="width of the model (default: 512)")
    parser.add_argument("--layers", type=int, default=6, help="layers of the model (default: 6)")
    parser.add_argument("--zero", type=int, default=3, help="stage of ZeRO (default: 3)")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--steps", type=int, default=20, help="steps without and with saving (default: 20)")
    parser.add_argument("--repeats", type=int, default=3, help="checkpoints of each kind; the best counts (default: 3)")
    parser.add_argument("--mb-per-second", type=float, default=50, help="what the slow store takes (default: 50)")
    parser.add_argument("--scratch", type=Path, help="a folder on the disk to measure (default: the system's)")
    return parser.parse_args()


def make_inputs(folder: Path, options: argparse.Namespace) -> PackedDataset:
    """Make a base model, and chunks that it trains on."""
    sizes = {"hidden_size": options.hidden, "intermediate_size": 3 * options.hidden, "vocab_size": VOCABULARY}
    make_llama(**sizes, num_hidden_layers=options.layers, num_attention_heads=8).save_pretrained(folder / "base/model")
    (folder / "packed").mkdir()
    write_packed(folder / "packed", num_chunks=8)
    return PackedDataset(folder / "packed")


class Steps:
    """A training that goes on from call to call."""

    def __init__(self, engine: Any, data: PackedDataset, config: TrainConfig) -> None:
        self.engine, self.num_done = engine, 0
        plan = steps(len(data), config)
        self._steps = train_steps(engine, data, plan, Schedule(1e-3, 1, 1000, 0.1), config)

    def seconds(self, count: int, *, saving: Checkpointing | None = None) -> float:
        """Make some steps, saving whenever it is due; returns the seconds that they took."""
        began = time.perf_counter()
        for _ in itertools.islice(self._steps, count):
            self.num_done += 1
            if saving is not None and saving.due():
                saving.save(Totals(num_steps=self.num_done))
        return time.perf_counter() - began


@contextmanager
def checkpointing(engine: Any, folder: Path, checkpoints: Checkpoints, seconds: float) -> Iterator[Checkpointing]:
    """Make one that saves so often; its files are gone afterwards."""
    scratch = Path(tempfile.mkdtemp(dir=folder))
    target = Target(scratch)
    target.metric("loss", 1.0)
    yield Checkpointing(engine, checkpoints, target, scratch, minutes=seconds / 60, timeout=timedelta(hours=1))
    checkpoints.remove()
    shutil.rmtree(scratch)


def compare_saving(engine: Any, folder: Path, repeats: int) -> int:
    """Compare one checkpoint; returns the bytes of ours."""
    theirs, their_bytes = [], 0
    for _ in range(repeats):
        began = time.perf_counter()
        engine.save_checkpoint(str(folder / "theirs"), tag="state", save_latest=False, exclude_frozen_parameters=True)
        theirs.append(time.perf_counter() - began)
        their_bytes = sum(path.stat().st_size for path in (folder / "theirs/state").iterdir())
        shutil.rmtree(folder / "theirs")
    checkpoints = Checkpoints(open_store(str(folder / "ours")), "train/bench", "one")
    waited, took = [], []
    with checkpointing(engine, folder, checkpoints, 0) as saving:
        for number in range(repeats + 1):
            began = time.perf_counter()
            saving.save(Totals(num_steps=number + 1))
            waited.append(time.perf_counter() - began)
            saving.finish()
            took.append(time.perf_counter() - began)
        [*_, files] = Path(checkpoints.address).glob("0*")
        our_bytes = sum(path.stat().st_size for path in files.iterdir())
    disk = min(seconds_to_disk(folder / "raw", our_bytes) for _ in range(repeats))
    print(f"{'':28}{'bytes':>16}{'training waits, s':>20}{'s per GiB':>12}{'on disk after, s':>18}")
    for name, num_bytes, wait, whole in (
        ("DeepSpeed's save_checkpoint", their_bytes, min(theirs), min(theirs)),
        ("ours, the first", our_bytes, waited[0], took[0]),
        ("ours, each later one", our_bytes, min(waited[1:]), min(took[1:])),
        ("the disk alone", our_bytes, disk, disk),
    ):
        print(f"{name:28}{num_bytes:16,}{wait:20.3f}{wait * GIB / num_bytes:12.3f}{whole:18.2f}")
    wait, whole = min(waited[1:]), min(took[1:])
    print(
        f"ratios: training waits 1/{min(theirs) / wait:.0f} as long as for DeepSpeed's own, which no disk has yet, and "
        f"{wait / disk:.2f} of what the disk alone takes; it is stored after {whole / disk:.1f} times that"
    )
    return our_bytes


def seconds_to_disk(path: Path, num_bytes: int) -> float:
    """Write as many bytes to a disk, until it has them."""
    block = os.urandom(16 * MB)
    began = time.perf_counter()
    with path.open("wb", buffering=0) as stream:
        for start in range(0, num_bytes, len(block)):
            stream.write(block[: num_bytes - start])
        os.fsync(stream.fileno())
    seconds = time.perf_counter() - began
    path.unlink()
    return seconds


def compare_starts(engine: Any, config: TrainConfig, folder: Path, repeats: int) -> None:
    """Compare the seconds from the start of a process to its first step: at the beginning, and from a checkpoint on."""
    job = job_of(config, folder / "packed", folder / "base", folder / "starts")
    job.write()
    command = [sys.executable, "-c", ONE_STEP, job.address]
    fresh = [measure(command) for _ in range(repeats)]
    with checkpointing(engine, folder, job.checkpoints, 0) as saving:
        saving.save(Totals(num_steps=1))
        saving.finish()
        resumed = [measure(command) for _ in range(repeats)]
    for name, runs in (("begins", fresh), ("goes on", resumed)):
        step, seconds = runs[0].output.split()[-1], min(run.seconds for run in runs)
        print(f"a training that {name} has done step {step} after {seconds:.2f} s, the start of its process included")


def compare_training(run: Steps, folder: Path, options: argparse.Namespace, *, seconds_between: float) -> None:
    """Train without saving, with it, and without again, so that a machine that grows slower shows."""
    checkpoints = SlowCheckpoints(folder / "slow", options.mb_per_second * MB)
    before = run.seconds(options.steps)
    with checkpointing(run.engine, folder, checkpoints, seconds_between) as saving:
        with_saving = run.seconds(options.steps, saving=saving)
        waited = saving.seconds_saving
        saving.finish()
        num_saved = sum(1 for _ in checkpoints.complete())
    after = run.seconds(options.steps)
    without = (before + after) / 2
    print(
        f"{options.steps} steps: {before:.2f} s and {after:.2f} s without saving, {with_saving:.2f} s while a store at "
        f"{options.mb_per_second:g} MB/s takes one checkpoint after the other (the last {num_saved} are kept)"
    )
    print(
        f"training waited {waited:.3f} s for it, {waited / with_saving:.2%} of its time; all in all it was "
        f"{with_saving / without - 1:+.1%} slower, {abs(after - before) / without:.1%} of which is the machine's own"
    )


if __name__ == "__main__":
    main()
