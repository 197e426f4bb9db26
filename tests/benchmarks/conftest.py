"""A small data folder in the publishers' formats, and the ways to read it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from med42lib.benchmarks.config import BenchmarkConfig, BenchmarksConfig
from med42lib.benchmarks.family import Absent, load_family
from med42lib.benchmarks.stage import benchmarks
from med42lib.formats.rejects import Reject
from med42lib.readers.files import DataFolder
from med42lib.store.artifacts import Source, Target
from tests.data_files import write_data


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data folder, empty at first."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def write(data: Path) -> Callable[[str, Any], Path]:
    """Write a file of the data folder: see `write_data`."""
    return lambda name, content: write_data(data / name, content)


@pytest.fixture
def read(data: Path) -> Callable[..., dict[str, Any]]:
    """Read a family from the data folder: by benchmark, each question or the kind and reason of its reject."""

    def read_family(name: str, path: str, **settings: Any) -> dict[str, Any]:
        config = BenchmarkConfig(path=path, **settings)
        found = load_family(name).read(DataFolder(Source(str(data))), config)
        return {
            benchmark: questions
            if isinstance(questions, Absent)
            else [(r.kind, r.reason) if isinstance(r, Reject) else r.value for r in questions]
            for benchmark, questions in found.items()
        }

    return read_family


@pytest.fixture
def run(tmp_path: Path, data: Path) -> Callable[..., Path]:
    """Run the stage on the data folder, or on another; gives the folder it wrote."""
    runs = iter(range(100))

    def run_stage(include: dict[str, Any], *, folder: Path = data, **settings: Any) -> Path:
        out = tmp_path / f"out{next(runs)}"
        out.mkdir()
        config = BenchmarksConfig.model_validate({"include": include, **settings})
        benchmarks(config, data=Source(str(folder)), items=Target(out))
        return out

    return run_stage


@pytest.fixture
def medqa() -> Callable[..., dict[str, Any]]:
    """Make one question of MedQA; option B of two is right."""

    def row(number: int, **changes: Any) -> dict[str, Any]:
        options = {"A": f"no {number}", "B": f"yes {number}"}
        return {
            "question": f"Question {number}?",
            "options": options,
            "answer_idx": "B",
            "answer": f"yes {number}",
            **changes,
        }

    return row
