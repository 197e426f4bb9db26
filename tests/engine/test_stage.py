import pytest

from med42lib.catalogue import STAGES
from med42lib.core.config import StageConfig
from med42lib.engine.stage import Stage


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_every_stage_of_the_catalogue_can_be_loaded(stage: Stage) -> None:
    assert issubclass(stage.config_class, StageConfig)
    assert stage.sources
    assert stage.targets
    assert f"{stage.package}.stage" in stage.closure.modules


def test_edges_are_read_off_the_signature() -> None:
    stage = STAGES["decontaminate"]
    assert stage.sources == ("dataset", "items", "encoder", "embedded")
    assert stage.targets == ("training", "contamination")


def test_an_input_of_many_addresses_is_an_edge_too_and_known_as_such() -> None:
    assert STAGES["report"].sources == ("dataset", "items", "contamination", "packed", "trained", "scores")
    assert STAGES["report"].mappings == ("trained", "scores")
    assert STAGES["pack"].mappings == ()


def test_an_input_that_only_spares_work_is_an_edge_like_the_others_and_known_as_such() -> None:
    assert STAGES["decontaminate"].mappings == ("embedded",)
    assert {name: stage.speed_only for name, stage in STAGES.items() if stage.speed_only} == {
        "decontaminate": ("embedded",),
        "evaluate": ("answers",),
    }
