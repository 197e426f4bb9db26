import pytest

from med42lib.benchmarks.family import load_family
from med42lib.benchmarks.names import family_names, known_family


def test_the_benchmarks_are_those_of_the_folder() -> None:
    assert family_names() == ["headqa", "medmcqa", "medqa", "mmlu", "pubmedqa", "usmle"]


@pytest.mark.parametrize("name", family_names())
def test_every_benchmark_declares_itself_under_its_own_name(name: str) -> None:
    family = load_family(name)
    assert family.name == name
    assert all([family.title, family.licence, family.citation])


def test_an_unknown_benchmark_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"not a known benchmark; did you mean 'medmcqa'\?"):
        known_family("medmqa_c")
