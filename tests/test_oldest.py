import pytest

from tests import oldest
from tests.oldest import lowest_versions


def test_the_lowest_of_an_extra_and_of_all_that_it_is_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    extras = {"all": ["suite[inner]", "pinned==0.1.0"], "inner": ["library>=1.2,<2"]}
    project = {"name": "suite", "dependencies": ["always>=3"], "optional-dependencies": extras}
    monkeypatch.setattr(oldest, "PROJECT", project)
    assert set(lowest_versions("all")) == {"always==3", "library==1.2", "pinned==0.1.0"}


def test_whatever_the_demo_installs_has_a_lowest_version() -> None:
    assert set(lowest_versions("pipeline")) < set(lowest_versions("demo"))


def test_a_requirement_without_a_lowest_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    project = {"name": "suite", "dependencies": ["library<2"], "optional-dependencies": {"all": []}}
    monkeypatch.setattr(oldest, "PROJECT", project)
    with pytest.raises(ValueError, match="library<2 has no lowest version"):
        list(lowest_versions("all"))
