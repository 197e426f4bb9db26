"""Fuzz the readers with atheris, guided by coverage and by what is known of the formats. Not part of the tests.

    pip install atheris
    python -m tests.fuzz.fuzz_readers --out /tmp/fuzz/0 --part 0/2 --seconds 1800

An input is a byte that names the target, a byte for the kind of file, and the file's content. Each new finding is
written to `<out>/findings` with its traceback, and fuzzing goes on; a hang or too much memory ends the process.
`<out>/stats.json` says how many inputs were read.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from functools import partial
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["med42lib"]):
    from tests.fuzz import targets as all_targets

    TARGETS = all_targets.targets()
from tests.fuzz.mutations import as_parquet, mutated

MAX_SECONDS = 5
MAX_LENGTH = 8192
FRESH_SHARE = 0.2


class Fuzzer:
    """Reads inputs, and writes down what no reader may do."""

    def __init__(self, out: Path, targets: list[all_targets.Target]) -> None:
        self._targets = targets
        self._folder = Path(tempfile.mkdtemp(prefix="med42-fuzz-", dir="/dev/shm"))
        self._findings = out / "findings"
        self._findings.mkdir(parents=True, exist_ok=True)
        self._stats = out / "stats.json"
        self._by_target: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._started = self._told = time.monotonic()

    def one(self, data: bytes) -> None:
        """Read one input."""
        if len(data) < 2:
            return
        target = self._targets[data[0] % len(self._targets)]
        started = time.monotonic()
        try:
            count = all_targets.run(target, self._folder, data[2:], data[1])
            self._outcomes["refused" if count < 0 else "records"] += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
            self._outcomes["finding"] += 1
            self._note(target, data, error)
        finally:
            shutil.rmtree(self._folder)
            self._folder.mkdir()
        self._by_target[target.name] += 1
        if time.monotonic() - started > MAX_SECONDS:
            self._note(target, data, TimeoutError(f"{time.monotonic() - started:.1f} s"))
        self._tell()

    def _note(self, target: all_targets.Target, data: bytes, error: BaseException) -> None:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "/med42lib/" in f.filename]
        place = f"{Path(frames[-1].filename).stem}-{frames[-1].lineno}" if frames else target.name
        kind = (
            f"{type(error).__name__}-{str(error)[:16]}" if isinstance(error, AssertionError) else type(error).__name__
        )
        name = "".join(c if c.isalnum() else "-" for c in f"{kind}-{place}")
        path = self._findings / f"{name}.txt"
        if not path.exists():
            text = "".join(traceback.format_exception(error))
            path.write_text(f"{target.name} kind {data[1]}\n{data[2:]!r}\n{text}"[:60_000], errors="backslashreplace")

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told > 5:
            self._told = now
            stats = {"seconds": round(now - self._started), "inputs": self._by_target.total(), **self._outcomes}
            self._stats.write_text(json.dumps({**stats, "targets": dict(self._by_target)}, indent=1))


def _mutate(seeds: list[bytes], data: bytes, max_size: int, seed: int) -> bytes:
    """Change an input; now and then a seed, so that every target gets its share."""
    random = Random(seed)
    if random.random() < FRESH_SHARE:
        data = random.choice(seeds)
    content = mutated(data[2:], random, lambda part: bytes(atheris.Mutate(part, max(1, max_size - 2))))
    return (bytes(data[:2].ljust(2, b"\0")) + content)[:max_size]


def _seeds(targets: list[all_targets.Target]) -> list[bytes]:
    seeds = []
    for number, target in enumerate(targets):
        for kind, name in enumerate(target.file_names):
            content = target.seed
            if name.endswith(".parquet"):
                content = as_parquet([json.loads(line) for line in content.splitlines()])
            seeds.append(bytes([number, kind]) + content)
    return seeds


def main() -> None:
    """Fuzz one part of the targets for so many seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--part", default="0/1", help="0/2 and 1/2 are the two halves of all targets")
    parser.add_argument("--seconds", type=int, default=60)
    arguments = parser.parse_args()
    part, parts = map(int, arguments.part.split("/"))
    targets = TARGETS[part::parts]
    seeds = _seeds(targets)
    corpus = arguments.out / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [f"-max_total_time={arguments.seconds}", f"-max_len={MAX_LENGTH}", "-timeout=60", "-rss_limit_mb=2000"]
    names = [f"-artifact_prefix={arguments.out}/", "-len_control=0", str(corpus)]
    fuzzer = Fuzzer(arguments.out, targets)
    atheris.Setup([sys.argv[0], *options, *names], fuzzer.one, custom_mutator=partial(_mutate, seeds))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
