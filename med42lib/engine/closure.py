"""Which code a result depends on: the modules that its own modules import, directly or not.

    med42lib.pack.stage ─► med42lib.pack.packing ─► med42lib.core.sampling
                    │ └──► med42lib.formats.packed ─► numpy                    a library: its version counts
                    └────► med42lib.store.artifacts                            `OUTSIDE`: not looked into

Modules are parsed and never imported, so this takes milliseconds and works where a library is absent. What is
imported by a name that is made up at run time is not seen; a stage declares it (`Stage.loads`).
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

OUTSIDE = (
    "med42lib.store",
    "med42lib.engine",
    "med42lib.core.config",
    "med42lib.core.environment",
    "med42lib.core.errors",
    "med42lib.core.excerpts",
    "med42lib.core.fork_server",
    "med42lib.core.library_errors",
    "med42lib.core.log",
    "med42lib.core.process",
    "med42lib.core.progress",
    "med42lib.core.redaction",
    "med42lib.core.names",
    "med42lib.core.stop_signal",
    "med42lib.tracking.address",
    "med42lib.tracking.live",
    "med42lib.tracking.names",
    "med42lib.train.launchers",
    "med42lib.train.memory",
    "med42lib.train.memory_choice",
    "med42lib.train.shapes",
)
"""Rooms and modules that carry, check and report, and cannot change a result unseen: files arrive with their sha256,
settings enter a key by their values. If they counted, a mended log line would train every model again."""


@dataclass(frozen=True, slots=True)
class Closure:
    """The code of some modules and of all that they import.

    `modules` has the sha256 of each module's code by its name, sorted; `libraries` the top-level names of the
    third-party packages that they import.
    """

    modules: dict[str, str]
    libraries: frozenset[str]


@dataclass(frozen=True, slots=True)
class Module:
    """One module: the sha256 of its code, and the names of all that it imports or may import.

    `from a import b` names both `a` and `a.b`, since `b` may be a module.
    """

    sha256: str
    imports: frozenset[str]


def closure(roots: Iterable[str], *, outside: Sequence[str] = OUTSIDE) -> Closure:
    """Follow imports from some modules, wherever they stand: in functions too, and in the packages around a module.

    Rooms and modules `outside` are not looked into; with none of them, the libraries are all that must be installed.

    The `__init__` of the package above all is left out: it holds the version, with which not every result changes.

    Raises:
        ModuleNotFoundError: If a root has no file.
    """
    waiting = list(roots)
    own = {_top(root) for root in waiting}
    if missing := [root for root in waiting if module_file(root) is None]:
        raise ModuleNotFoundError(f"no file of {', '.join(missing)}")
    modules: dict[str, str] = {}
    libraries: set[str] = set()
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        package, _, _ = name.rpartition(".")
        if _top(name) not in own:
            libraries.add(_top(name))
        elif package and name not in seen and not _is_within(name, outside):
            seen.add(name)
            waiting.append(package)
            if module := find_module(name):
                modules[name] = module.sha256
                waiting += module.imports
    return Closure(dict(sorted(modules.items())), frozenset(libraries - sys.stdlib_module_names))


def module_file(name: str) -> Path | None:
    """Find the file of a module, importing no more than the package above all; None if there is none."""
    top, *others = name.split(".")
    return _file_at(Path(str(importlib.import_module(top).__file__)).parent.joinpath(*others))


def find_module(name: str) -> Module | None:
    """Parse the module of a name; None if there is none."""
    path = module_file(name)
    if path is None:
        return None
    return read_module(path, name if path.stem == "__init__" else name.rpartition(".")[0])


@cache
def _file_at(place: Path) -> Path | None:
    return next((path for path in (place / "__init__.py", place.with_suffix(".py")) if path.is_file()), None)


@cache
def read_module(path: Path, package: str) -> Module:
    """Parse a module of a package.

    Its code is its syntax tree without comments, docstrings and what only type checkers read, so that better
    documentation makes nothing again. Trees of two minor versions of Python differ.
    """
    tree = ast.parse(path.read_bytes())
    imports = frozenset(name for statement in _stripped(tree) for name in _imported(statement, package))
    return Module(hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imports)


def _stripped(node: ast.AST) -> Iterator[ast.AST]:
    """Take docstrings and the bodies of `if TYPE_CHECKING` out of a tree; yields every statement that is left."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        statements = getattr(node, field, [])
        if _is_for_type_checkers(node) and field == "body":
            statements.clear()
        statements[:] = [statement for statement in statements if not _is_docstring(statement)]
        for statement in statements:
            yield statement
            yield from _stripped(statement)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_for_type_checkers(node: ast.AST) -> bool:
    if not isinstance(node, ast.If):
        return False
    return "TYPE_CHECKING" in (getattr(node.test, "id", None), getattr(node.test, "attr", None))


def _imported(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        module = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
        yield module
        yield from (f"{module}.{alias.name}" for alias in node.names)


def _is_within(name: str, rooms: Sequence[str]) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def _top(name: str) -> str:
    return name.partition(".")[0]
