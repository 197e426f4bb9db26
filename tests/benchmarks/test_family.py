import pytest

from med42lib.benchmarks.config import FAMILIES, BenchmarkConfig
from med42lib.benchmarks.family import load_family


@pytest.mark.parametrize("name", FAMILIES.names())
def test_every_benchmark_declares_itself_under_its_own_name(name: str) -> None:
    family = load_family(name)
    assert family.name == name
    assert all([family.title, family.facts.licence, family.facts.attribution, family.facts.citation])
    assert set(family.settings) <= BenchmarkConfig.model_fields.keys()
