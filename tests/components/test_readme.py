import pytest
from pydantic import BaseModel

from components.readme import readme
from med42lib.assemble.config import NearDuplicatesConfig, SourceConfig
from med42lib.benchmarks.config import BenchmarkConfig
from med42lib.catalogue import STAGES
from med42lib.evaluate.config import BenchmarkScoring


@pytest.mark.parametrize(
    ("stage", "place", "inner"),
    [
        ("assemble", "sources.NAME", SourceConfig),
        ("assemble", "near_duplicates", NearDuplicatesConfig),
        ("benchmarks", "include.NAME", BenchmarkConfig),
        ("evaluate", "benchmarks.NAME", BenchmarkScoring),
    ],
)
def test_every_setting_inside_a_setting_stands_in_the_table_with_what_it_means(
    stage: str, place: str, inner: type[BaseModel]
) -> None:
    rows = [line for line in readme(STAGES[stage]).splitlines() if line.startswith(f"| `{place}.")]
    assert [row.split("`")[1].removeprefix(f"{place}.") for row in rows] == list(inner.model_fields)
    assert all(len(row.split(" | ")[3]) > len("A word.") for row in rows)


def test_seeds_stand_in_the_table_of_train_as_a_spec_has_them() -> None:
    assert "| `seeds` | integer | `1` | How often a spec's model is trained, 1 to 20 times: " in readme(STAGES["train"])
    assert "`seeds`" not in readme(STAGES["evaluate"])
