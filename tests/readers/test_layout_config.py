import pytest

from med42lib.core.config import parse_config
from med42lib.core.errors import ConfigError, Problem
from med42lib.readers.layout_config import DataLayoutConfig

REVISION = "0123456789abcdef0123456789abcdef01234567"


def problem(layout: str, hub: str) -> Problem:
    with pytest.raises(ConfigError) as error:
        parse_config(DataLayoutConfig, {"layout": layout, "hub": hub}, title="bad", prefix="place")
    (found,) = error.value.problems
    return found


@pytest.mark.parametrize("name", ["lab/head_qa", "l.a-b/q.a-", "0/1"])
def test_a_data_set_on_the_hub_is_named_with_its_full_revision(name: str) -> None:
    assert DataLayoutConfig(layout="huggingface", hub=f"{name}@{REVISION}").hub == f"{name}@{REVISION}"


@pytest.mark.parametrize(
    "hub",
    [
        "lab/qa",
        "lab/qa@main",
        f"lab/qa@{REVISION[:39]}",
        f"lab/qa@{REVISION}0",
        f"qa@{REVISION}",
        f"lab/qa@{REVISION.upper()}",
        f"hub:lab/qa@{REVISION}",
        f"datasets/lab/qa@{REVISION}",
        f"datasets/squad@{REVISION}",
        f".lab/qa@{REVISION}",
        f"lab/-qa@{REVISION}",
        f"lab/qa@{REVISION}\n",
        f"/qa@{REVISION}",
        "",
    ],
)
def test_what_no_store_of_the_hub_could_open_is_refused_as_a_setting(hub: str) -> None:
    found = problem("huggingface", hub)
    assert found.where == "place.hub"
    assert "must be owner/name@revision of a data set on the hub" in found.what


def test_the_hub_in_the_publishers_layout_is_refused() -> None:
    found = problem("publisher", f"lab/qa@{REVISION}")
    assert found.where == "place"
    assert "hub needs layout: huggingface" in found.what
