"""A small run of the data stages, and a way to look into it as a user would."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from med42lib import demo
from med42lib.catalogue import STAGES
from med42lib.commands.main import main
from med42lib.decontaminate.embedding import cutter, kept
from med42lib.decontaminate.embedding.windows import Windows
from med42lib.engine.runner import Request, run_stage
from med42lib.formats.dataset import EXAMPLES_FILE, read_examples
from med42lib.formats.records import BenchmarkItem, Example, Origin, write_items
from med42lib.spec import load_spec
from med42lib.store.artifacts import Source
from tests.conftest import REPOSITORY
from tests.tiny_tokenizer import BEGIN, byte_level

SMOKE = REPOSITORY / "pipelines/specs/smoke.yaml"
LEAK = "headqa"
"""The source one of whose questions an evaluation item repeats."""


@dataclass
class DataRun:
    """A run of assemble, decontaminate and pack, with the folders it started from and the addresses it made."""

    store: str
    folder: Path
    model: Path
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        """The publishers' files."""
        return self.folder / "data"

    @property
    def leaked(self) -> Example:
        """The example whose question an evaluation item repeats."""
        return self.example(LEAK)

    def stage(self, name: str, *overrides: str, **inputs: str) -> None:
        """Run one stage of smoke.yaml; the addresses of what it made are in `outputs`."""
        config: Any = load_spec(SMOKE, [f"{name}.{override}" for override in overrides]).model_dump(mode="json")
        self.outputs |= run_stage(STAGES[name], Request(config[name], self.store, inputs)).targets

    def pack(self, *overrides: str) -> None:
        """Pack what decontaminate left."""
        self.stage("pack", *overrides, dataset=self.outputs["training"], model=str(self.model))

    def examples(self) -> list[Example]:
        """Read what was assembled."""
        source = Source(self.outputs["dataset"], cache=self.folder / "cache")
        return list(read_examples(source.path(EXAMPLES_FILE).parent))

    def example(self, source: str) -> Example:
        """Give the first example of a source."""
        return next(example for example in self.examples() if example.source == source)


@pytest.fixture
def assembled(tmp_path: Path, model_folder: Path) -> Callable[..., DataRun]:
    """Assemble copies of the demo's files into a store."""

    def start(store: str = "") -> DataRun:
        run = DataRun(store or str(tmp_path / "store"), tmp_path, model_folder)
        shutil.copytree(Path(demo.__file__).parent / "data/training", run.data)
        run.stage("assemble", data=str(run.data))
        return run

    return start


@pytest.fixture
def decontaminated(
    assembled: Callable[..., DataRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., DataRun]:
    """The same, decontaminated with given settings by an encoder to which only equal questions are alike."""

    def start(*overrides: str, store: str = "") -> DataRun:
        monkeypatch.setattr(cutter, "Cutter", OnlyEqualTextsAreAlike)
        monkeypatch.setattr(kept, "Encoder", OnlyEqualTextsAreAlike)
        run = assembled(store)
        items = tmp_path / "items"
        items.mkdir()
        write_items(items, [_item("exam/leak", run.leaked.question), _item("exam/other", "Which moon is largest?")])
        run.stage("decontaminate", *overrides, dataset=run.outputs["dataset"], items=str(items), encoder=str(items))
        return run

    return start


@pytest.fixture
def run(decontaminated: Callable[..., DataRun]) -> DataRun:
    """A whole run in a folder."""
    finished = decontaminated()
    finished.pack()
    return finished


@pytest.fixture
def inspect(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Call `med42 inspect dataset --json`; returns what it printed."""

    def call(*arguments: str) -> Any:
        assert main(["inspect", "dataset", *arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return call


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """A tokenizer that knows all bytes and few words."""
    made = byte_level(["<|prompter|>: What is the answer?", "<|assistant|>: You are a helpful medical assistant."])
    made.post_processor = BEGIN
    return made


@pytest.fixture(scope="session")
def model_folder(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output of fetch_model, as far as pack needs it."""
    folder = tmp_path_factory.mktemp("base")
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", padding_side="right"
    )
    fast.save_pretrained(folder / "model")
    return folder


class OnlyEqualTextsAreAlike:
    """An encoder, and its tokenizer, that reads every text whole."""

    max_tokens = 254

    @classmethod
    def load(cls, _folder: Path) -> "OnlyEqualTextsAreAlike":
        return cls()

    def cut(self, _texts: list[str]) -> dict[str, Windows]:
        return {}

    def embed(self, texts: list[str], _advance: Callable[[int], object]) -> NDArray[np.float32]:
        return np.eye(len(texts), dtype=np.float32)


def _item(name: str, question: str) -> BenchmarkItem:
    return BenchmarkItem(name, "exam", question, "", ("yes", "no"), 0, Origin(name, "exam.jsonl", 1))
