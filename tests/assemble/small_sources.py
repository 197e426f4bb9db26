"""Two small sources made by the tests, keys made by hand, and the stage run on them."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from med42lib.assemble.config import AssembleConfig
from med42lib.assemble.mixing.select import Keys
from med42lib.assemble.mixing.spill import KEYS
from med42lib.assemble.reading.read_source import Reading
from med42lib.assemble.source import Conversation, Conversations, ReadOptions, TrainingSource
from med42lib.assemble.stage import assemble
from med42lib.core.errors import DataError
from med42lib.core.hashing import content_hash
from med42lib.core.sampling import sampling_key
from med42lib.engine.context import StageContext
from med42lib.formats.dataset import SCHEMA, row_of
from med42lib.formats.records import Example, Exchange, Origin
from med42lib.formats.rejects import Reject
from med42lib.readers.parsers import Record
from med42lib.store.artifacts import Source, Target
from med42lib.store.cache import StageCache

CARDS = "medical_flashcards/medical_meadow_medical_flashcards.json"
ADVICE = "pubmed_health_advice"
WITH_TIMES = "metrics.jsonl"
ALL = {"medical_flashcards": {"target": "all"}, "health_advice": {"target": "all"}}


def write_cards(data: Path, texts: Iterable[str]) -> Path:
    """Write one flashcard per text; returns the file."""
    path = data / CARDS
    path.parent.mkdir(parents=True, exist_ok=True)
    cards = [{"instruction": "", "input": f"What is {text}?", "output": f"It is {text}."} for text in texts]
    path.write_text(json.dumps(cards), encoding="utf-8")
    return path


def write_advice(data: Path, files: Mapping[str, Sequence[str]]) -> None:
    """Write each file's sentences; the sentence decides its label and number, not its place."""
    folder = data / ADVICE
    folder.mkdir(parents=True, exist_ok=True)
    for name, sentences in files.items():
        rows = "".join(f"{len(text) % 3},{content_hash(text)[:6]},{text}\n" for text in sentences)
        (folder / f"annotations_{name}.csv").write_text(f"label,pmid,sentence\n{rows}", encoding="utf-8")


def settings(sources: Mapping[str, Any], **others: Any) -> AssembleConfig:
    """Give the stage's settings for these sources."""
    return AssembleConfig.model_validate({"sources": sources, "multiple_choice": "letters", "seed": 7, **others})


def run_stage(data: Path, folder: Path, sources: Mapping[str, Any] = ALL, **others: Any) -> Path:
    """Run the stage; parts are kept below `store` if one is given. Returns the folder it wrote."""
    folder.mkdir(parents=True)
    store = others.pop("store", None)
    scratch = folder.parent / f"{folder.name}-scratch"
    context = StageContext.in_folder(scratch, "assemble")
    if store is not None:
        context = replace(context, cache=StageCache(str(store), "assemble", scratch))
    assemble(settings(sources, **others), data=Source(str(data)), dataset=Target(folder), context=context)
    return folder


def outputs(folder: Path) -> dict[str, bytes]:
    """Read all files but the one that says when it was written: where and how they were made must not show."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != WITH_TIMES]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def mixture(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the table of the mixture by source."""
    return {row["source"]: row for row in json.loads((folder / "mixture.json").read_text())}


def example(text: str, *, line: int = 1, answer: str = "") -> Example:
    """Make one example; its text decides what it is."""
    exchange = Exchange(text, answer or f"{text}!")
    return Example("headqa", "MIT", "system", (exchange,), text, Origin("id", "a.json", line))


def batch_of(*examples: Example) -> pa.RecordBatch:
    """Lay examples out as columns."""
    return pa.RecordBatch.from_pylist([row_of(one) for one in examples], SCHEMA)


def rank_of(id: str, seed: int) -> int:
    """Give the first 64 bits of an example's sampling key."""
    return int(sampling_key(seed, id)[:16], 16)


def one_by_one(conversations: Conversations) -> Iterator[Record[Conversation] | Reject]:
    """Give what a reader gives as single records."""
    for found in conversations:
        if isinstance(found, pa.RecordBatch):
            yield from (Record(row["file"], row["line"], _conversation_of(row)) for row in found.to_pylist())
        else:
            yield found


def _conversation_of(row: Mapping[str, Any]) -> Conversation:
    exchanges = tuple(Exchange(**exchange) for exchange in row["exchanges"])
    question = exchanges[0].prompter if row["question"] is None else row["question"]
    return Conversation(row["publisher_id"], exchanges, question, row["system"], row["licence"] or "")


def keys_of(texts: Sequence[str], *, source: str = "headqa", seed: int = 7) -> Keys:
    """Give the keys of rows that say these texts, in this reading order; case and white space make no difference.

    Each row's `row` is its number in the order of ranks, as in a run.
    """
    keys = np.zeros(len(texts), KEYS)
    keys["rank"] = [rank_of(f"{source}/{text}", seed) for text in texts]
    keys["same"] = [int(content_hash("".join(text.casefold().split())), 16) for text in texts]
    keys["characters"] = [len(text) for text in texts]
    keys["sequence"] = np.arange(len(texts))
    keys = keys[np.argsort(keys["rank"], kind="stable")]
    keys["row"] = np.arange(len(texts))
    return keys


@dataclass(frozen=True)
class FakeReading(Reading):
    """A reading whose process writes its number to a file and then misbehaves."""

    @property
    def key(self) -> str:
        return content_hash(self.name)

    def _note_process(self) -> None:
        Path(self.path, f"{self.name}.pid").write_text(str(os.getpid()))


class DeadlyReading(FakeReading):
    """Kills the process that reads it, as the kernel does when memory is short."""

    @property
    def source(self) -> TrainingSource:
        self._note_process()
        os.kill(os.getpid(), signal.SIGKILL)
        return super().source


class EndlessReading(FakeReading):
    """Is never done."""

    @property
    def source(self) -> TrainingSource:
        self._note_process()
        time.sleep(600)
        return super().source


class FailingReading(FakeReading):
    """Cannot be read."""

    @property
    def source(self) -> TrainingSource:
        self._note_process()
        raise DataError(f"{self.name} is broken")


def fake(kind: type[FakeReading], name: str, data: Source, folder: Path) -> FakeReading:
    """Make a reading that misbehaves and notes its process in `folder`."""
    config = settings({"headqa": {"target": 1}})
    return kind(name, config.sources["headqa"], ReadOptions("letters"), 0, 0.0, str(folder), data)
