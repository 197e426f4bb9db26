import pytest

from med42lib.assemble.config import SOURCES, SourceConfig
from med42lib.assemble.source import load_source


@pytest.mark.parametrize("name", SOURCES.names())
def test_every_source_declares_itself_under_its_own_name(name: str) -> None:
    source = load_source(name)
    assert source.name == name
    assert all(
        [source.title, source.facts.licence, source.facts.attribution, source.facts.citation, source.num_paper_origin]
    )
    assert source.num_paper > 0
    for layout in (source.publisher, source.huggingface):
        assert layout.path
        assert not layout.path.startswith("/")
    assert set(source.settings) <= SourceConfig.model_fields.keys()
