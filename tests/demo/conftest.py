from pathlib import Path

import pytest

from med42lib.assemble.config import AssembleConfig
from med42lib.assemble.stage import assemble
from med42lib.benchmarks.config import BenchmarksConfig
from med42lib.benchmarks.stage import benchmarks
from med42lib.demo.make_data import DATA_FOLDER
from med42lib.engine.context import StageContext
from med42lib.store.artifacts import Source, Target

ALL = {"target": "all"}


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's training data, as `assemble` reads it."""
    folder = tmp_path_factory.mktemp("dataset")
    sources = {"headqa": ALL, "medical_flashcards": ALL, "medquad": ALL}
    config = AssembleConfig.model_validate({"sources": sources, "multiple_choice": "texts", "seed": 0})
    assemble(
        config,
        data=Source(str(DATA_FOLDER / "training")),
        dataset=Target(folder),
        context=StageContext.in_folder(folder.parent, "assemble"),
    )
    return folder


@pytest.fixture(scope="session")
def items(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's benchmark questions, as `benchmarks` reads them."""
    folder = tmp_path_factory.mktemp("items")
    include = {"medqa": {"path": "medqa/phrases_no_exclude_test.jsonl"}, "mmlu": {"path": "mmlu/test"}}
    config = BenchmarksConfig.model_validate({"include": include})
    benchmarks(config, data=Source(str(DATA_FOLDER / "benchmarks")), items=Target(folder))
    return folder


@pytest.fixture(scope="session")
def validation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's validation questions, as `benchmarks` reads them."""
    folder = tmp_path_factory.mktemp("validation")
    config = BenchmarksConfig.model_validate({"include": {"medqa": {"path": "medqa/phrases_no_exclude_test.jsonl"}}})
    benchmarks(config, data=Source(str(DATA_FOLDER / "validation")), items=Target(folder))
    return folder
