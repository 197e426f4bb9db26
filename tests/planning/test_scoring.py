import logging

import pytest

from med42lib.planning.base_model import KNOWN_CONFIGS, BaseModel
from med42lib.planning.scoring import scoring_problems
from med42lib.spec import load_spec
from tests.conftest import REPOSITORY

PAPERS = REPOSITORY / "pipelines/specs/med42.yaml"
PODS = {"answer_questions": ["2Gi", "64Gi"], "evaluate": ["16Gi", "64Gi"]}
"""Of steps without GPUs."""


def told(model: str, *changes: str, pods: dict[str, list[str]] | None = None, **config: object) -> list[str]:
    base = BaseModel({**KNOWN_CONFIGS[model], **config}, model)
    return [
        str(problem) for problem in scoring_problems(load_spec(PAPERS, changes), base, PODS if pods is None else pods)
    ]


def test_a_model_larger_than_its_pods_limit_is_refused_with_what_to_compile_with() -> None:
    assert told("llama-2-70b", "evaluate.precision=float32") == [
        "evaluate.precision: the step evaluate loads 257 GiB of weights in float32 into a pod that may have 64Gi; set "
        "bfloat16, or compile with --pods and `evaluate: {gpus: N}`, which hold them together, or `evaluate: {memory: "
        "[265Gi, 265Gi]}`"
    ]
    assert "129 GiB of weights in float16 into a pod that may have 64Gi; compile with" in told("llama-2-70b")[0]


@pytest.mark.parametrize("pods", [{}, {"evaluate": ["200Gi", "200Gi"]}], ids=["GPUs", "memory"])
def test_pods_with_gpus_or_memory_for_it_score_a_large_model(pods: dict[str, list[str]]) -> None:
    assert told("llama-2-70b", pods=pods) == []


def test_of_shards_it_is_each_shard_that_loads_the_model() -> None:
    assert "the step answer_questions loads" in told("llama-2-70b", "evaluate.shards=4")[0]
    assert told("llama-2-70b", "evaluate.shards=4", pods={"evaluate": ["2Gi", "4Gi"]}) == []


def test_memory_that_is_not_asked_for_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert told("llama-2-7b") == []
        assert caplog.text == ""
        assert told("llama-2-7b", "evaluate.precision=float32") == []
    assert "loads 26 GiB of weights in float32 into a pod that asks for 16Gi, and may be evicted" in caplog.text


def test_a_size_that_is_a_guess_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert told("llama-2-70b", model_type="opt") == []
    assert "as if the base were a Llama: evaluate.precision: the step evaluate loads" in caplog.text


def test_of_a_base_that_is_not_known_nothing_is_said() -> None:
    assert list(scoring_problems(load_spec(PAPERS), BaseModel(None, "s3://bucket/model"), PODS)) == []
