import pytest

from med42lib.assemble.config import SOURCES
from med42lib.assemble.source import load_source
from med42lib.benchmarks.config import FAMILIES
from med42lib.benchmarks.family import load_family


@pytest.mark.parametrize("name", sorted(set(SOURCES.names()) & set(FAMILIES.names())))
def test_a_publisher_is_credited_alike_for_what_is_trained_on_and_what_is_asked(name: str) -> None:
    assert load_source(name).facts == load_family(name).facts
