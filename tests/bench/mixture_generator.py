"""The paper's 706,713-row mixture, made up, on disk in the publishers' own formats.

    python -m tests.bench.mixture_generator FOLDER --scale 0.1

Writes `FOLDER/publisher/<source>/…`, which `med42 stage assemble` reads, and `FOLDER/json_lines/<source>.jsonl`, the
same rows in the one format that every program reads, for those sources that are not published as Parquet. A source has
the rows of Table A1 times the scale, and beside them some that its reader must set aside. The same scale and seed give
the same bytes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import orjson

from med42lib.assemble.source import load_source
from med42lib.assemble.sources._niv2_tasks import TASKS
from med42lib.assemble.sources.mmlu import SUBJECTS
from med42lib.formats.mixture_table import TABLE_A1
from tests.bench import mixture_files as files
from tests.bench import mixture_rows as rows
from tests.bench.mixture_rows import Row
from tests.bench.mixture_text import Prose

NUM_PAPER = {name: load_source(name).num_paper for name in TABLE_A1}
"""Rows of each source in Table A1 of the paper: 706,713 together."""

BENCHMARK_TASKS = ("task665_mmmlu_answer_generation_anatomy", "task1431_head_qa_answer_generation")
ROWS_PER_BATCH = 5_000
PUBLISHER = "publisher"
JSON_LINES = "json_lines"
DONE = "done.json"


MakeBatch = Callable[[Prose, int, int, bool], Iterator[Row]]
MakeRows = Callable[[str, float, int], Iterator[Row]]
"""All rows of a source by its name, the scale and the seed."""


@dataclass(frozen=True, slots=True)
class Made:
    """How one folder of the mixture is made up."""

    rows: MakeRows
    write: Callable[[Path, Iterable[Row]], None]
    is_parquet: bool = False


def batches_of(make: MakeBatch, *, share_unused: float = 0) -> MakeRows:
    """Make the rows of Table A1 times the scale, and besides a share of rows that the reader must set aside."""

    def made_up(name: str, scale: float, seed: int) -> Iterator[Row]:
        prose, num_used = Prose(seed, name), num_rows(name, scale)
        for used, count in ((True, num_used), (False, round(num_used * share_unused))):
            for start in range(0, count, ROWS_PER_BATCH):
                yield from make(prose, start, min(ROWS_PER_BATCH, count - start), used)

    return made_up


def _openorca(name: str, scale: float, seed: int) -> Iterator[Row]:
    """Mix the three parts that the paper uses, and a twentieth of one that it does not."""
    counts = {prefix: num_rows(f"{name}_{prefix}", scale) for prefix in ("t0", "flan", "cot")}
    counts["niv"] = sum(counts.values()) // 20
    prose, num_batches = Prose(seed, name), -(-sum(counts.values()) // ROWS_PER_BATCH)
    for batch in range(num_batches):
        mixed: list[Row] = []
        for prefix, count in counts.items():
            start, stop = (count * edge // num_batches for edge in (batch, batch + 1))
            if stop > start:
                mixed += rows.openorca(prose, start, stop - start, prefix)
        yield from (mixed[number] for number in prose.rng.permutation(len(mixed)))


def _mmlu(prose: Prose, start: int, count: int, used: bool) -> Iterator[Row]:
    for number, row in enumerate(rows.mmlu(prose, start, count, used), start=start):
        yield {**row, "subject": SUBJECTS[number % len(SUBJECTS)]}


def _niv2(prose: Prose, start: int, count: int, used: bool) -> Iterator[Row]:
    tasks = TASKS if used else BENCHMARK_TASKS
    definitions = [Prose(0, task).texts(1, 350, end=".")[0] for task in tasks]
    for number, row in enumerate(rows.niv2(prose, start, count, used), start=start):
        yield {**row, "task": tasks[number % len(tasks)], "definition": definitions[number % len(tasks)]}


MADE = {
    "medmcqa": Made(batches_of(rows.medmcqa), files.write_medmcqa),
    "medical_flashcards": Made(batches_of(rows.medical_flashcards), files.write_medical_flashcards),
    "stackexchange": Made(
        batches_of(rows.stackexchange, share_unused=0.02), files.write_stackexchange, is_parquet=True
    ),
    "medqa": Made(batches_of(rows.medqa), files.write_medqa),
    "cord19": Made(batches_of(rows.cord19, share_unused=0.3), files.write_cord19),
    "pubmedqa": Made(batches_of(rows.pubmedqa, share_unused=1), files.write_pubmedqa),
    "headqa": Made(batches_of(rows.headqa, share_unused=0.025), files.write_headqa),
    "mediqa": Made(batches_of(rows.mediqa, share_unused=1), files.write_mediqa),
    "health_advice": Made(batches_of(rows.health_advice), files.write_health_advice),
    "pubmed_causal": Made(batches_of(rows.pubmed_causal), files.write_pubmed_causal),
    "opengpt": Made(batches_of(rows.opengpt), files.write_opengpt),
    "medquad": Made(batches_of(rows.medquad, share_unused=0.1), files.write_medquad),
    "mmlu": Made(batches_of(_mmlu), files.write_mmlu),
    "niv2": Made(batches_of(_niv2, share_unused=0.05), files.write_niv2),
    "openorca": Made(_openorca, files.write_openorca, is_parquet=True),
}


def folder_of(name: str) -> str:
    """Name the folder in which a source's publisher files usually lie."""
    source = load_source("openorca_t0" if name == "openorca" else name)
    return PurePosixPath(source.publisher.path).parts[0]


def num_rows(source: str, scale: float) -> int:
    """Say how many usable rows of a source there are at a scale: at least one for each of MMLU's subjects."""
    return max(len(SUBJECTS), round(NUM_PAPER[source] * scale))


def generate(folder: Path, *, scale: float, seed: int = 0) -> None:
    """Write all 17 sources; a folder that holds them already is left as it is."""
    wanted = {"scale": scale, "seed": seed}
    done = folder / DONE
    if done.is_file() and json.loads(done.read_text()) == wanted:
        return
    (folder / JSON_LINES).mkdir(parents=True, exist_ok=True)
    for name, made in MADE.items():
        target = folder / PUBLISHER / folder_of(name)
        target.mkdir(parents=True, exist_ok=True)
        made_up = made.rows(name, scale, seed)
        if made.is_parquet:
            made.write(target, made_up)
            continue
        with (folder / JSON_LINES / f"{name}.jsonl").open("wb") as stream:
            made.write(target, _copied(made_up, stream))
    done.write_text(json.dumps(wanted))


def _copied(made_up: Iterator[Row], stream: BinaryIO) -> Iterator[Row]:
    for row in made_up:
        stream.write(orjson.dumps(row) + b"\n")
        yield row


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scale", type=float, default=1.0, help="times Table A1's counts (default: 1)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    generate(options.folder, scale=options.scale, seed=options.seed)
    seconds = time.perf_counter() - started
    total = sum(num_rows(name, options.scale) for name in NUM_PAPER)
    sizes = [f"{part} {folder_bytes(options.folder / part) / 1e6:,.0f} MB" for part in (PUBLISHER, JSON_LINES)]
    print(f"{total:,} usable rows in {seconds:.1f} s: {', '.join(sizes)}")


if __name__ == "__main__":
    main()
