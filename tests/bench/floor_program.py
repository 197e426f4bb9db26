"""What reading and hashing a folder and writing a result cost alone: the floor under `med42 stage assemble`.

    python -m tests.bench.floor_program FOLDER EXAMPLES.parquet

One thread reads every file and computes its sha256, then writes the rows of the result to Parquet with zstd, as they
are. Reading them back from the result is not counted. Prints seconds.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def hash_files(folder: Path) -> float:
    started = time.perf_counter()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as stream:
                hashlib.file_digest(stream, "sha256")
    return time.perf_counter() - started


def write_again(examples: Path, scratch: Path) -> float:
    seconds = 0.0
    with (
        pq.ParquetFile(examples) as source,
        pq.ParquetWriter(scratch, source.schema_arrow, compression="zstd") as target,
    ):
        for group in range(source.num_row_groups):
            rows = source.read_row_group(group)
            started = time.perf_counter()
            target.write_table(rows)
            seconds += time.perf_counter() - started
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("examples", type=Path)
    options = parser.parse_args()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    with tempfile.TemporaryDirectory(dir=options.examples.parent.parent) as scratch:
        print(hash_files(options.folder) + write_again(options.examples, Path(scratch) / "examples.parquet"))


if __name__ == "__main__":
    main()
