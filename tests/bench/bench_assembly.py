"""The paper's mixture from publishers' files to one Parquet file: `assemble` against `datasets`, in one run, as ratios.

    python tests/bench/bench_assembly.py                    10 % and 100 % of the mixture
    python tests/bench/bench_assembly.py --full             300 % too, without `datasets`
    python tests/bench/bench_assembly.py --scales 0.02 --mixtures FOLDER

Every side runs in processes of its own and gets the same rows, which mixture_generator.py writes first:

    ours        med42 stage assemble, with the publishers' 17 formats
    datasets    the obvious program (datasets_program.py), with JSON lines and Parquet; one process or two, the faster
    floor       reading and hashing the publishers' files and writing our rows, in one thread; the fastest of three

Then one file changes, and our side runs again. Seconds are those of the whole process, its start and imports included,
but for the floor, where only its work counts. Memory is the peak of the whole process tree, looked at ten times a
second; what is shared counts once.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))

import yaml  # noqa: E402

from med42lib.store.cache import CACHE_FOLDER  # noqa: E402
from tests.bench.measured import Measured, measure  # noqa: E402
from tests.bench.mixture_generator import NUM_PAPER, PUBLISHER, folder_bytes, generate, num_rows  # noqa: E402

DEMO_SPEC = REPOSITORY / "pipelines" / "specs" / "demo.yaml"
CHANGED_FILE = Path("medmcqa", "train.json")
FLOOR_RUNS = 3
MOST_FOR_DATASETS = 1.0
"""Above the paper's size only our memory is of interest, and `datasets` would take a quarter of an hour."""

PROCESSES = 2
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """What all sides took at one scale."""

    num_rows: int
    input_bytes: int
    result_bytes: int
    ours: Measured
    datasets: Measured | None
    datasets_setting: str
    floor_seconds: float
    floor_peak_bytes: int
    rerun: Measured
    reread: list[str]


def main() -> None:
    options = parse_options()
    scales = options.scales or ([0.1, 1.0, 3.0] if options.full else [0.1, 1.0])
    with tempfile.TemporaryDirectory(prefix="med42-bench-") as scratch:
        mixtures = (options.mixtures or Path(scratch)).resolve()
        print_heading()
        for scale in scales:
            outcome = run_scale(mixtures / f"mixture-{scale:g}", scale, Path(scratch))
            print("\n".join(lines_of(outcome)), flush=True)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="three times the paper's mixture too (about 20 GB on disk)")
    parser.add_argument("--scales", type=float, nargs="+", help="times the paper's mixture (default: 0.1 1)")
    parser.add_argument("--mixtures", type=Path, help="folder where mixtures are kept (default: made and deleted)")
    return parser.parse_args()


def run_scale(mixture: Path, scale: float, scratch: Path) -> Outcome:
    """Run all sides on one mixture, which is made first if it is not there."""
    generate(mixture, scale=scale)
    total = sum(num_rows(name, scale) for name in NUM_PAPER)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        store, spec = Path(folder, "store"), Path(folder, "spec.yaml")
        spec.write_text(yaml.safe_dump(spec_of(scale)), encoding="utf-8")
        warm(mixture)
        ours = run_ours(spec, store, mixture)
        result = result_of(ours, total)
        floor_seconds, floor_peak = run_floor(mixture, result)
        before = parts_of(store)
        with one_row_more(mixture / PUBLISHER / CHANGED_FILE):
            rerun = run_ours(spec, store, mixture)
        reread = sorted({source for part in parts_of(store) - before for source in sources_of(part)})
        datasets, setting = run_datasets(mixture, Path(folder), total) if scale <= MOST_FOR_DATASETS else (None, "")
        return Outcome(
            num_rows=total,
            input_bytes=folder_bytes(mixture / PUBLISHER),
            result_bytes=result.stat().st_size,
            ours=ours,
            datasets=datasets,
            datasets_setting=setting,
            floor_seconds=floor_seconds,
            floor_peak_bytes=floor_peak,
            rerun=rerun,
            reread=reread,
        )


def spec_of(scale: float) -> dict[str, Any]:
    """Take the demo's spec, with all 17 sources at the paper's counts times the scale."""
    spec: dict[str, Any] = yaml.safe_load(DEMO_SPEC.read_text(encoding="utf-8"))
    sources = {name: {"target": num_rows(name, scale)} for name in NUM_PAPER}
    spec["assemble"] = {"sources": sources, "multiple_choice": "letters", "seed": 42}
    return spec


def warm(mixture: Path) -> None:
    """Read everything once, so that no side pays for a cold disk."""
    for path in mixture.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                while stream.read(MIB):
                    pass


def run_ours(spec: Path, store: Path, mixture: Path) -> Measured:
    return measure(
        [
            *(sys.executable, "-m", "med42lib", "stage", "assemble"),
            *("--spec", spec, "--store", store, "--input", f"data={mixture / PUBLISHER}"),
        ]
    )


def result_of(ours: Measured, num_expected: int) -> Path:
    import pyarrow.parquet as pq

    result = Path(json.loads(ours.output)["dataset"]) / "examples.parquet"
    check_rows("med42", pq.read_metadata(result).num_rows, num_expected)
    return result


def run_floor(mixture: Path, result: Path) -> tuple[float, int]:
    arguments = [mixture / PUBLISHER, result]
    runs = [measure([sys.executable, "-m", "tests.bench.floor_program", *arguments]) for _ in range(FLOOR_RUNS)]
    return min(float(run.output) for run in runs), max(run.peak_bytes for run in runs)


def run_datasets(mixture: Path, folder: Path, num_expected: int) -> tuple[Measured, str]:
    """Run the obvious program with one process and with two, and give the faster."""
    runs = {}
    for setting, arguments in (("1 process", []), (f"{PROCESSES} processes", ["--processes", str(PROCESSES)])):
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            paths = [mixture, Path(scratch, "result.parquet"), Path(scratch, "cache")]
            runs[setting] = measure(
                [sys.executable, "-m", "tests.bench.datasets_program", *paths, *arguments],
                environment={"HF_HOME": scratch, "HF_HUB_OFFLINE": "1"},
            )
        check_rows("datasets", int(runs[setting].output), num_expected)
    setting = min(runs, key=lambda name: runs[name].seconds)
    return runs[setting], setting


def check_rows(side: str, num: int, num_expected: int) -> None:
    if num != num_expected:
        sys.exit(f"{side} made {num:,} rows of {num_expected:,}; the sides cannot be compared")


@contextmanager
def one_row_more(path: Path) -> Iterator[None]:
    """Add a row to a file of JSON lines, and take it away again."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        row = json.loads(stream.readline())
    added = json.dumps({**row, "id": "added", "question": f"Added: {row['question']}"}).encode() + b"\n"
    with path.open("ab") as stream:
        stream.write(added)
    try:
        yield
    finally:
        os.truncate(path, size)


def parts_of(store: Path) -> set[Path]:
    """Find what `assemble` has kept of single sources."""
    return set((store / CACHE_FOLDER / "assemble").glob("*/*/kept/summary.json"))


def sources_of(summary: Path) -> set[str]:
    return {entry["path"].partition("/")[0] for entry in json.loads(summary.read_text(encoding="utf-8"))["files"]}


def print_heading() -> None:
    print(f"{os.cpu_count()} cores, datasets {importlib.metadata.version('datasets')}; 17 sources, made up\n")
    print("| rows | input MB | side | seconds | rows/s | peak MiB | ours is |")
    print("|---:|---:|---|---:|---:|---:|---|", flush=True)


def lines_of(outcome: Outcome) -> list[str]:
    """Write one scale's lines of the table."""
    ours, theirs = outcome.ours, outcome.datasets
    rerun = f"rerun after {CHANGED_FILE.parent} changed: read {', '.join(outcome.reread) or 'nothing'}"
    sides = [
        ("med42 assemble", ours.seconds, ours.peak_bytes, ""),
        (
            "floor: read, hash, write",
            outcome.floor_seconds,
            outcome.floor_peak_bytes,
            f"at {ours.seconds / outcome.floor_seconds:.1f} times the floor",
        ),
        (rerun, outcome.rerun.seconds, outcome.rerun.peak_bytes, ""),
    ]
    if theirs is not None:
        ratio = f"{theirs.seconds / ours.seconds:.1f} times as fast"
        sides.insert(1, (f"datasets, {outcome.datasets_setting}", theirs.seconds, theirs.peak_bytes, ratio))
    size = f"| {outcome.num_rows:,} | {outcome.input_bytes / 1e6:,.0f} |"
    return [
        f"{size} {name} | {seconds:.1f} | {outcome.num_rows / seconds:,.0f} | {peak / MIB:,.0f} | {ratio} |"
        for name, seconds, peak, ratio in sides
    ]


if __name__ == "__main__":
    main()
