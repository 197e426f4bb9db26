import ast
import itertools
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from med42lib.catalogue import STAGES
from med42lib.engine.closure import OUTSIDE, Closure, closure, module_file, read_module

Write = Callable[..., None]
_numbers = itertools.count()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An importable package of its own for each test."""
    name = f"made_up_{next(_numbers)}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


@pytest.fixture
def write(package: str, tmp_path: Path) -> Write:
    """Write a module; `PACKAGE` in its code stands for the package's name."""

    def put(name: str, code: str) -> None:
        path = (tmp_path / package).joinpath(*name.split("."))
        is_package = path.is_dir()
        path.parent.mkdir(parents=True, exist_ok=True)
        (path / "__init__.py" if is_package else path.with_suffix(".py")).write_text(code.replace("PACKAGE", package))
        read_module.cache_clear()

    return put


@pytest.fixture
def of(package: str) -> Callable[[], Closure]:
    """The closure of the module `a`."""
    return lambda: closure([f"{package}.a"])


def names(found: Closure) -> set[str]:
    return {name.partition(".")[2] for name in found.modules}


@pytest.mark.parametrize(
    "code",
    [
        "import PACKAGE.b",
        "import PACKAGE.b as other",
        "from PACKAGE.b import anything",
        "from PACKAGE.b import *",
        "from PACKAGE import b",
        "from . import b",
        "from .b import anything",
        "def f():\n    from PACKAGE import b",
        "class C:\n    def f(self):\n        if self:\n            pass\n        else:\n            import PACKAGE.b",
        "try:\n    pass\nexcept OSError:\n    import PACKAGE.b",
        "try:\n    pass\nfinally:\n    import PACKAGE.b",
        "with f():\n    import PACKAGE.b",
        "match x:\n    case 1:\n        import PACKAGE.b",
        "if TYPE_CHECKING:\n    pass\nelse:\n    import PACKAGE.b",
    ],
)
def test_an_import_is_followed_wherever_and_however_it_is_written(
    write: Write, of: Callable[[], Closure], code: str
) -> None:
    write("a", code)
    write("b", "import PACKAGE.c")
    write("c", "")
    write("unused", "")
    assert names(of()) == {"a", "b", "c"}


@pytest.mark.parametrize("test", ["TYPE_CHECKING", "typing.TYPE_CHECKING"])
def test_what_only_type_checkers_read_is_no_part(write: Write, of: Callable[[], Closure], test: str) -> None:
    write("a", f"import typing\nif {test}:\n    import torch\n    import PACKAGE.b")
    write("b", "")
    assert (names(of()), of().libraries) == ({"a"}, frozenset())


def test_the_packages_around_a_module_are_part_but_for_the_one_above_all(
    write: Write, of: Callable[[], Closure], package: str, tmp_path: Path
) -> None:
    write("a", "import PACKAGE.inner.deep.b")
    write("inner.deep.b", "")
    write("inner", "import PACKAGE.c")
    write("c", "")
    assert names(of()) == {"a", "inner", "inner.deep.b", "c"}
    (tmp_path / package / "__init__.py").write_text("__version__ = '2'")
    assert package not in of().modules


def test_modules_may_import_each_other(write: Write, of: Callable[[], Closure]) -> None:
    write("a", "import PACKAGE.b")
    write("b", "import PACKAGE.a")
    assert names(of()) == {"a", "b"}


def test_libraries_are_named_by_their_package_and_pythons_own_are_none(write: Write, of: Callable[[], Closure]) -> None:
    write("a", "from __future__ import annotations\nimport json, torch.nn\nimport PACKAGE.b")
    write("b", "def f():\n    from absent_library.x import y")
    assert of().libraries == {"torch", "absent_library"}


@pytest.mark.parametrize(
    "same",
    [
        '"""Other."""\n\n\n\ndef f(x):\n    """Other."""\n    return x + 1\n',
        "# comment\ndef f(x):\n    return (x  # comment\n        + 1)",
        'if TYPE_CHECKING:\n    pass\ndef f(x):\n    return x + 1\n"""Of an attribute."""',
    ],
)
def test_comments_docstrings_and_layout_are_no_code(write: Write, of: Callable[[], Closure], same: str) -> None:
    codes = {"if TYPE_CHECKING:\n    import PACKAGE\n" * ("TYPE_CHECKING" in same) + "def f(x): return x + 1", same}
    found = set()
    for code in codes:
        write("a", code)
        found.add(str(of().modules))
    assert len(found) == 1


@pytest.mark.parametrize("other", ["def f(x): return x + 2", "def f(x): return f'{x}'", "def f(x: int): return x + 1"])
def test_other_code_has_another_hash(write: Write, of: Callable[[], Closure], other: str) -> None:
    write("a", "def f(x): return x + 1")
    before = of()
    write("a", other)
    assert of() != before


def test_files_beside_the_modules_do_not_matter(
    write: Write, of: Callable[[], Closure], package: str, tmp_path: Path
) -> None:
    write("a", "import PACKAGE.b")
    write("b", "")
    before = of()
    for name in (".DS_Store", "b.py~", ".b.py.swp", "b_copy.py", "__pycache__/b.cpython-311.pyc"):
        path = tmp_path / package / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\x00")
    assert of() == before


def test_a_root_without_a_file_is_an_error(package: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=f"no file of {package}.absent"):
        closure([f"{package}.absent"])


def test_what_lies_outside_exists() -> None:
    assert all(module_file(name) for name in OUTSIDE)


USED_OF_CORE_OUTSIDE = {
    "config": {
        "CountOrAll",
        "SPEED_ONLY",
        "StageConfig",
        "is_count_or_all",
        "renamed_from",
        "section_of",
        "written_as",
    },
    "environment": {
        "OFFLINE",
        "THREADS_VARIABLE",
        "memory_bytes",
        "num_cores",
        "number_from_environment",
        "threads_asked_for",
    },
    "excerpts": {"brief", "quoted", "quotes_records"},
    "library_errors": {"library_errors"},
    "log": {"log", "log_place", "set_up_logging"},
    "names": {"NamedModules"},
    "process": {"FORK_SERVER", "children_die_with_this_process"},
    "progress": {"Progress", "progress", "track"},
    "redaction": {"redact"},
    "stop_signal": {"StopSignal"},
}
"""What stages use of `core` and no key has, beside errors: none of it may decide a byte of an output. Whoever adds a
name here has looked at what is done with it; `brief`, `quoted` and `redact` are for messages."""


def test_of_core_no_more_is_used_uncounted_than_is_known_to_decide_nothing() -> None:
    used = defaultdict(set)
    for module in {name for stage in STAGES.values() for name in stage.closure.modules}:
        path = module_file(module)
        assert path is not None
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.module in OUTSIDE and node.module.startswith("med42lib.core."):
                used[node.module.removeprefix("med42lib.core.")] |= {alias.name for alias in node.names}
    used.pop("errors")
    assert used == USED_OF_CORE_OUTSIDE
