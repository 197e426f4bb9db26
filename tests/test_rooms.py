import ast
import re
from configparser import ConfigParser

import pytest

from tests.conftest import REPOSITORY

LIBRARY = REPOSITORY / "med42lib"
ROOMS = sorted(path.parent.name for path in LIBRARY.glob("*/__init__.py"))


def linted(option: str, pattern: str) -> list[str]:
    """What a pattern finds in an option of the contracts of doors in `.importlinter`."""
    config = ConfigParser()
    config.read(REPOSITORY / ".importlinter")
    contracts = [config[section] for section in config.sections() if section.startswith("importlinter:contract:doors-")]
    return [match for contract in contracts for match in re.findall(pattern, contract.get(option, ""), re.MULTILINE)]


def test_the_readme_lists_all_rooms_in_the_order_that_the_linter_holds() -> None:
    config = ConfigParser()
    config.read(REPOSITORY / ".importlinter")
    layers = [
        re.findall(r"\w+", line) for line in config["importlinter:contract:library"]["layers"].strip().splitlines()
    ]
    [table] = re.findall(r"^\| room \| what \|\n\|---.*\n((?:\|.*\n)+)", (REPOSITORY / "README.md").read_text(), re.M)
    rows = [re.findall(r"`(\w+)`", row.split("|")[1]) for row in table.splitlines()]
    stages = next(layer for layer in layers if "train" in layer)
    listed = [stages if row == [stages[0], stages[-1]] else row for row in rows]
    assert [sorted(row) for row in listed] == [sorted(layer) for layer in layers if layer != ["__main__"]]


def test_an_init_is_a_docstring_alone_since_whatever_imports_from_its_room_has_it_in_its_key() -> None:
    bodies = {path.parent: ast.parse(path.read_text()).body for path in LIBRARY.rglob("__init__.py")}
    with_code = {folder.relative_to(LIBRARY).as_posix() for folder, body in bodies.items() if len(body) != 1}
    assert with_code <= {"."}, "the version, which is in no key"


@pytest.mark.parametrize("room", ROOMS)
def test_a_rooms_docstring_names_the_doors_that_the_linter_allows(room: str) -> None:
    docstring = ast.get_docstring(ast.parse((LIBRARY / room / "__init__.py").read_text())) or ""
    every_module = "Every module is a door." in docstring
    assert (room in linted("protected_modules", r"^med42lib\.(\w+)\.\*\*$")) != every_module
    _, _, doors = docstring.partition("Doors, the modules that other rooms may import:")
    named = re.findall(r"^    ([\w.]+)  ", doors, re.MULTILINE)
    assert bool(named) != every_module or room == "demo"
    assert sorted(named) == sorted(linted("ignore_imports", rf"^\*\* -> med42lib\.{room}\.([\w.]+)$"))
