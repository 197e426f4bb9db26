from pathlib import Path
from typing import Annotated

import pytest

from med42lib.assemble.config import AssembleConfig
from med42lib.benchmarks.config import BenchmarksConfig
from med42lib.core.config import parse_config
from med42lib.core.errors import ConfigError, Problem
from med42lib.core.names import NamedModules
from med42lib.readers.layout_config import OF_SOME, DataLayoutConfig, check_settings

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


class CardsConfig(DataLayoutConfig):
    parts: Annotated[tuple[str, ...], OF_SOME] = ()
    """Which parts to read."""


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NamedModules:
    """A package of two data sets, of which one has parts and the other is nowhere but at its publisher's."""
    (tmp_path / "cards").mkdir()
    facts = "licence='MIT', attribution='Bo', citation='Bo 2021'"
    for name, is_whole, more in [("many", True, "settings=('parts',)"), ("local", False, "layouts=('publisher',)")]:
        text = (
            "from med42lib.readers.data_set import DataSet, PublisherFacts\n"
            f"FACTS = PublisherFacts({facts}, whole_on_hub={is_whole})\n"
            f"CARDS = DataSet(name={name!r}, title='', facts=FACTS, {more})"
        )
        (tmp_path / "cards" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return NamedModules("cards", kind="set of cards", variable="CARDS")


def test_a_new_data_set_says_itself_which_settings_it_has(cards: NamedModules) -> None:
    check_settings({"many": CardsConfig(parts=("a",)), "local": CardsConfig()}, cards)
    with pytest.raises(ValueError, match=r"^parts is for many only, not for local$"):
        check_settings({"local": CardsConfig(parts=("a",))}, cards)


def test_all_that_a_data_set_lacks_is_said_at_once(cards: NamedModules) -> None:
    hub = CardsConfig(parts=("a",), layout="huggingface", hub=f"lab/qa@{REVISION}")
    check_settings({"many": hub}, cards)
    with pytest.raises(ValueError, match=r"parts is for.*; local has the layout publisher.*; the hub lacks a file"):
        check_settings({"local": hub, "many": hub}, cards)


@pytest.mark.parametrize("path", ["/data/medqa.jsonl", "s3://bucket/medqa", "../medqa.jsonl", "a/../../b"])
def test_a_path_that_leaves_the_data_folder_is_a_problem_that_says_so(path: str) -> None:
    for section, values in (
        (BenchmarksConfig, {"include": {"medqa": {"path": path}}}),
        (AssembleConfig, {"sources": {"medqa": {"target": 1, "path": path}}, "multiple_choice": "letters", "seed": 1}),
    ):
        with pytest.raises(ValueError, match="must lie inside the data folder"):
            section.model_validate(values)
