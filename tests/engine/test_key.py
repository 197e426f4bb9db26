import ast
import importlib.metadata
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated

import pytest

import med42lib
from med42lib.catalogue import STAGES
from med42lib.core.config import SPEED_ONLY, StageConfig
from med42lib.engine import closure as closure_module
from med42lib.engine.closure import OUTSIDE, Module, module_file, read_module
from med42lib.engine.key import DISTRIBUTIONS, library_versions, output_key
from med42lib.engine.stage import Stage
from tests.conftest import REPOSITORY

LIBRARY = Path(med42lib.__file__).parent
SCORING = {"answer_questions", "evaluate"}
installed_version = cache(importlib.metadata.version)


class Config(StageConfig):
    n: int = 1
    rows_at_a_time: Annotated[int, SPEED_ONLY] = 8


def a_key(stage: Stage = STAGES["pack"], config: StageConfig | None = None, **digests: str) -> str:
    return output_key(stage, config or Config(), digests or {"data": "d"})


def fresh(stage: Stage) -> Stage:
    """The same stage, with nothing remembered of its code."""
    return replace(stage)


def keys() -> dict[str, str]:
    return {name: a_key(fresh(stage)) for name, stage in STAGES.items()}


@pytest.fixture(autouse=True)
def _quick_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look up each version once for all tests."""
    monkeypatch.setattr(importlib.metadata, "version", installed_version)


@pytest.fixture
def change(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the code of some modules be another."""

    def put(*names: str) -> None:
        paths = {module_file(name) for name in names}

        def read(path: Path, package: str) -> Module:
            module = read_module(path, package)
            return Module("changed", module.imports) if path in paths else module

        monkeypatch.setattr(closure_module, "read_module", read)

    return put


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let a distribution be there in another version, or not at all."""

    def put(name: str, version: str | None) -> None:
        def found(asked: str) -> str:
            if asked.replace("_", "-") != name:
                return installed_version(asked)
            if version is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return version

        monkeypatch.setattr(importlib.metadata, "version", found)

    return put


def changed(before: dict[str, str]) -> set[str]:
    return {name for name, key in keys().items() if key != before[name]}


def test_equal_ingredients_make_the_same_key() -> None:
    assert a_key() == a_key()
    assert len(a_key()) == 16


def test_each_ingredient_changes_the_key() -> None:
    pack = STAGES["pack"]
    assert len({a_key(), a_key(replace(pack, name="other")), a_key(data="e"), a_key(other="d")}) == 4
    assert a_key(config=Config(n=2)) != a_key()


def test_a_setting_that_decides_speed_only_does_not_change_the_key() -> None:
    assert a_key(config=Config(rows_at_a_time=9)) == a_key()


def test_code_that_only_carries_and_reports_is_in_no_key(change: Callable[..., None]) -> None:
    before = keys()
    rooms = [name for name in all_modules() if any(f"{name}.".startswith(f"{outside}.") for outside in OUTSIDE)]
    assert len(rooms) > 15
    change(*rooms)
    assert changed(before) == set()


def test_any_other_module_is_in_the_keys_of_the_stages_that_use_it_alone(change: Callable[..., None]) -> None:
    before = keys()
    one_of_each = {frozenset(users(name)): name for name in all_modules()}
    assert len(one_of_each) > 10
    for stages, name in one_of_each.items():
        change(name)
        assert changed(before) == stages, name


def users(module: str) -> set[str]:
    return {name for name, stage in STAGES.items() if module in stage.closure.modules}


def all_modules() -> list[str]:
    relative = (path.relative_to(LIBRARY.parent).with_suffix("") for path in sorted(LIBRARY.rglob("*.py")))
    return [".".join(path.parts).removesuffix(".__init__") for path in relative]


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("med42lib.train.worker", {"train"}),
        ("med42lib.train.loop", {"train"}),
        ("med42lib.evaluate.harness", SCORING),
        ("med42lib.formats.packed", {"pack", "train", "report"}),
        (
            "med42lib.formats.prompt",
            {"assemble", "embed_questions", "decontaminate", "pack", "train", "report"} | SCORING,
        ),
        ("med42lib.decontaminate.embedding.encoder", {"embed_questions", "decontaminate"}),
        ("med42lib.decontaminate.similarity", {"decontaminate"}),
        ("med42lib.assemble.sources.cord19", {"assemble"}),
        ("med42lib.benchmarks.families.usmle", {"benchmarks"}),
        ("med42lib.readers.publishers.usmle", {"benchmarks"}),
        ("med42lib.readers.publishers.medqa", {"benchmarks", "assemble"}),
        ("med42lib.core.printable", {"assemble", "benchmarks", "report", "register"}),
        ("med42lib.core.excerpts", set()),
        ("med42lib.demo.make_data", set()),
        ("med42lib.inspection.show", set()),
        ("med42lib.spec", set()),
    ],
)
def test_what_a_change_makes_again(change: Callable[..., None], name: str, stages: set[str]) -> None:
    before = keys()
    change(name)
    assert changed(before) == stages


def test_a_new_version_of_the_suite_makes_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys()
    monkeypatch.setattr(med42lib, "__version__", "9.0")
    assert changed(before) == set()
    [docstring, version] = ast.parse((LIBRARY / "__init__.py").read_bytes()).body
    assert isinstance(docstring, ast.Expr)
    assert ast.unparse(version).startswith("__version__ = "), "whatever else stands here is in no key"


@pytest.mark.parametrize(
    ("library", "version", "stages"),
    [
        ("lm-eval", "0.4.99", SCORING),
        ("lm-eval", None, SCORING),
        ("deepspeed", "0.99.0", {"train"}),
        ("torch", "9.0.0+cu999", {"fetch_model", "embed_questions", "decontaminate", "train"} | SCORING),
        ("tokenizers", "0.99.0", {"fetch_model", "embed_questions", "decontaminate", "pack", "train"} | SCORING),
        ("gguf", None, {"fetch_model"}),
        ("pydantic", "99.0", set()),
        ("boto3", "99.0", set()),
        ("tqdm", "99.0", set()),
    ],
)
def test_another_version_of_a_library_makes_again_what_it_decides(
    install: Callable[..., None], library: str, version: str | None, stages: set[str]
) -> None:
    before = keys()
    install(library, version)
    assert changed(before) == stages


@pytest.mark.parametrize(
    ("library", "version", "same", "others"),
    [
        ("torch", "2.8.0", ["2.8.1", "2.8.0+cpu", "2.8"], ["2.9.0", "3.8.0"]),
        ("lm_eval", "0.4.9", ["0.4.9.2", "0.4.9+local"], ["0.4.10", "0.5.9"]),
    ],
)
def test_versions_for_repairs_alone_are_the_same(
    install: Callable[..., None], library: str, version: str, same: list[str], others: list[str]
) -> None:
    def found(version: str) -> str:
        install(library.replace("_", "-"), version)
        return library_versions([library])[library]

    assert {found(one) for one in same} == {found(version)}
    assert len({found(version), *map(found, others)}) == 3


def test_every_library_that_a_stage_uses_is_found_under_its_name() -> None:
    distributions = importlib.metadata.packages_distributions()
    for library in set().union(*(stage.closure.libraries for stage in STAGES.values())):
        name = DISTRIBUTIONS.get(library, library)
        normal = {found.lower().replace("-", "_") for found in distributions[library]}
        assert name.lower() in normal, f"{library} comes with {normal}: name it in DISTRIBUTIONS"


def test_a_file_that_a_stage_reads_beside_its_code_is_in_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "with_templates"
    (package / "templates").mkdir(parents=True)
    for name in ("__init__.py", "stage.py", "config.py", "templates/a.css"):
        (package / name).write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    stage = Stage("with_templates", "with_templates", "", data=("templates/*.css",), runtime="base")
    before = a_key(stage)
    for name in (".DS_Store", "a.css~", ".#a.css", "b.txt"):
        (package / "templates" / name).write_text("x")
    assert a_key(stage) == before
    (package / "templates/a.css").write_text("x")
    after = a_key(stage)
    (package / "templates/b.css").write_text("")
    assert len({before, after, a_key(stage)}) == 3


def test_no_file_that_a_stage_brings_is_forgotten() -> None:
    for stage in STAGES.values():
        [folder] = {path.parent for path in map(module_file, stage.modules[:1]) if path}
        files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
        others = [path for path in files if path.suffix not in (".py", ".pyc", ".md")]
        assert set(others) == set(stage.data_files.values()), stage.name


def test_no_result_depends_on_a_docstring() -> None:
    for name in {name for stage in STAGES.values() for name in stage.closure.modules}:
        path = module_file(name)
        assert path is not None
        assert "__doc__" not in path.read_text(), f"{path.relative_to(REPOSITORY)}: docstrings are in no key"
