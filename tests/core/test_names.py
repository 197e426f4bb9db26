from pathlib import Path

import pytest

from med42lib.core.names import known_name, module_names


def test_every_module_of_the_folder_is_found_without_importing_it(tmp_path: Path) -> None:
    for name in ("zinc", "alpha", "__init__"):
        (tmp_path / f"{name}.py").write_text("raise AssertionError('imported')")
    assert module_names(tmp_path) == ["alpha", "zinc"]


def test_a_known_name_is_taken_and_an_unknown_one_refused_with_the_nearest_and_all() -> None:
    assert known_name("headqa", ["headqa", "medquad"], "source") == "headqa"
    with pytest.raises(ValueError, match=r"not a known source; did you mean 'headqa'\? There are: headqa, medquad"):
        known_name("head_qa", ["headqa", "medquad"], "source")
    with pytest.raises(ValueError, match=r"not a known source; there are: headqa"):
        known_name("xyz", ["headqa"], "source")
