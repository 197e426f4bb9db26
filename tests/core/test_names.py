from pathlib import Path

import pytest

from med42lib.core.names import NamedModules, module_names


@pytest.fixture
def metals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NamedModules:
    """A package of three modules, one of which cannot be imported."""
    folder = tmp_path / "metals"
    folder.mkdir()
    files = {"__init__": "", "_alloy": "", "zinc": "METAL = 30", "iron": "METAL = 26", "lead": "raise AssertionError"}
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return NamedModules("metals", kind="metal", variable="METAL")


def test_every_module_of_the_package_is_found_without_importing_it(metals: NamedModules) -> None:
    assert module_names("metals") == metals.names() == ["iron", "lead", "zinc"]


def test_what_a_module_declares_is_given_by_its_name(metals: NamedModules) -> None:
    assert [metals.load(name) for name in ("zinc", "iron")] == [30, 26]
    assert metals.module("zinc") == "metals.zinc"


def test_a_known_name_is_taken_and_an_unknown_one_refused_with_the_nearest_and_all(metals: NamedModules) -> None:
    assert metals.known("zinc") == "zinc"
    with pytest.raises(ValueError, match=r"not a known metal; did you mean 'zinc'\? There are: iron, lead, zinc"):
        metals.known("zink")
    with pytest.raises(ValueError, match=r"not a known metal; there are: iron"):
        metals.known("xyz")
