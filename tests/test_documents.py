"""Documents and docstrings name what there is: modules, files, links, variables, and a spec that works."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from med42lib.catalogue import STAGES
from med42lib.spec_check import load_checked
from tests.conftest import REPOSITORY

LIBRARY = REPOSITORY / "med42lib"
README = REPOSITORY / "README.md"
ROOMS = ("commands", "core", "engine", "formats", "inspection", "planning", "readers", "store", "tracking")
"""Rooms that no section of a spec is called after: `report.compare` is a setting, `core.log` a module."""

FOLDERS = ("components", "med42lib", "pipelines", "k8s", "tests")
HISTORY = "CHANGELOG.md"
DOCUMENTS = sorted(
    path
    for path in (*REPOSITORY.glob("*.md"), *(found for name in FOLDERS for found in (REPOSITORY / name).rglob("*.md")))
    if path.name != HISTORY
)
MODULES = sorted(path for name in FOLDERS[:4] for path in (REPOSITORY / name).rglob("*.py"))

IN_BACKTICKS = re.compile(r"`([^`\s]+)`")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)|<img src=\"([^\"]+)\"")
VARIABLE = re.compile(r"\"(MED42_[A-Z0-9_]+)\"")
BETWEEN_OUR_PROCESSES = {
    *("MED42_MAX_RESTARTS", "MED42_NODE", "MED42_OMP_NUM_THREADS", "MED42_PARENT_PID", "MED42_START", "MED42_TERMINAL")
}
DOTTED = re.compile(rf"(?:med42lib\.)?(?:{'|'.join(ROOMS)})(?:\.\w+)+|med42lib(?:\.\w+)+")
FILE = re.compile(r"[\w<>*.-]+(?:/[\w<>*.-]+)+\.(?:py|md|yaml)")


def named(path: Path) -> Iterator[str]:
    """Yield what a file says in backticks and is the name of a module, of something in one, or of a file in a room."""
    for name in IN_BACKTICKS.findall(path.read_text(encoding="utf-8")):
        start = name.partition("/")[0]
        if DOTTED.fullmatch(name) or (FILE.fullmatch(name) and (start in FOLDERS or (LIBRARY / start).is_dir())):
            yield name


def exists(name: str) -> bool:
    if "/" in name:
        pattern = re.sub(r"<\w+>", "*", name)
        return any(next(folder.glob(pattern), None) for folder in (REPOSITORY, LIBRARY))
    return in_module(LIBRARY, name.removeprefix("med42lib.").split("."))


def in_module(folder: Path, parts: list[str]) -> bool:
    """Look for a module, or for a name at the top of one; what stands behind a class's name is not looked into."""
    first, *others = parts
    if (folder / first).is_dir():
        return not others or in_module(folder / first, others)
    module = (folder / first).with_suffix(".py")
    return module.is_file() and (not others or others[0] in names_in(module))


def names_in(module: Path) -> set[str]:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    targets += [node.target for node in tree.body if isinstance(node, ast.AnnAssign)]
    return defined | {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}


def anchors(document: Path) -> set[str]:
    """Give the anchors that GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("core.log", True),
        ("core.log.safe_message", True),
        ("med42lib.formats.dataset.SCHEMA", True),
        ("pipelines/compiled/*.yaml", True),
        ("med42lib/<stage>/stage.py", True),
        ("engine/closure.py", True),
        ("core.dataset.SCHEMA", False),
        ("core.log.no_such_name", False),
        ("med42lib/cli.py", False),
    ],
)
def test_a_name_is_looked_for_where_it_would_be(name: str, there: bool) -> None:
    assert exists(name) is there


def test_every_module_and_file_that_is_named_is_there() -> None:
    assert len(DOCUMENTS) > 10
    missing = [
        f"{path.relative_to(REPOSITORY)}: {name}"
        for path in (*DOCUMENTS, *MODULES)
        for name in named(path)
        if not exists(name)
    ]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_link_leads_somewhere(document: Path) -> None:
    for file, anchor, picture in LINK.findall(document.read_text(encoding="utf-8")):
        target = document.parent / (picture or file) if picture or file else document
        assert target.exists(), f"{document.name} links to {picture or file}"
        assert not anchor or anchor in anchors(target), f"{document.name} links to {file}#{anchor}"


def test_the_spec_in_the_readme_is_a_whole_one_of_twenty_lines(tmp_path: Path) -> None:
    [text] = re.findall(r"^```yaml\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "mine.yaml").write_text(text)
    assert list(load_checked(tmp_path / "mine.yaml", ()).train) == ["lora"]
    assert len(text.splitlines()) <= 20


def test_the_readme_has_every_environment_variable() -> None:
    read = {name for path in MODULES for name in VARIABLE.findall(path.read_text(encoding="utf-8"))}
    first_cells = re.findall(r"^\| (`[^|]+)", README.read_text(), re.MULTILINE)
    shown = set(re.findall(r"`(MED42_\w+)`", "".join(first_cells)))
    assert shown == read - BETWEEN_OUR_PROCESSES


def test_the_readme_has_every_stage_beside_its_extra() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|;]+)", README.read_text(), re.MULTILINE))
    for stage in STAGES.values():
        assert stage.name in rows[stage.runtime].strip().split(", ")
