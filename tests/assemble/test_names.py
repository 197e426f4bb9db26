import pytest

from med42lib.assemble.names import known_source, source_names
from med42lib.assemble.source import load_source


def test_the_sources_are_those_of_the_folder() -> None:
    assert {"headqa", "health_advice", "medical_flashcards", "medquad", "pubmedqa"} <= set(source_names())


@pytest.mark.parametrize("name", source_names())
def test_every_source_declares_itself_under_its_own_name(name: str) -> None:
    source = load_source(name)
    assert source.name == name
    assert all([source.title, source.licence, source.attribution, source.citation, source.num_paper_origin])
    assert source.num_paper > 0
    for layout in (source.publisher, source.huggingface):
        assert layout.path
        assert not layout.path.startswith("/")


def test_an_unknown_source_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="did you mean 'medquad'"):
        known_source("medqad")
