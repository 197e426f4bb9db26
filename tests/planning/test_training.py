from typing import Any

import pytest

from med42lib.planning.base_model import KNOWN_CONFIGS, BaseModel
from med42lib.planning.hardware import GPUS, Cluster, parse_cluster
from med42lib.planning.training import (
    cluster_of,
    cluster_problems,
    fits,
    smallest_cluster,
    warn_of_room,
    workload,
)
from med42lib.spec import load_spec
from med42lib.train.config import TrainConfig
from med42lib.train.launchers.template import JobTemplate
from med42lib.train.memory import gpu_memory
from med42lib.train.shapes import Shapes
from tests.conftest import REPOSITORY

DEMO = load_spec(REPOSITORY / "pipelines/specs/demo.yaml", ["pack={policy: concatenate, chunk_length: 4096, seed: 1}"])
LLAMA_2_7B, LLAMA_2_70B = (Shapes.read(KNOWN_CONFIGS[name]) for name in ("llama-2-7b", "llama-2-70b"))
BASE: dict[str, Any] = {"learning_rate": 1e-4, "warmup_steps": 0, "epochs": 1, "global_batch_size": 128, "seed": 1}


def config_of(method: str, precision: str = "float16", **settings: Any) -> TrainConfig:
    return TrainConfig(**{**BASE, "method": method, "precision": precision, **settings})


def smallest(shapes: Shapes, config: TrainConfig, gpu: str) -> Cluster | None:
    return smallest_cluster(shapes, config, DEMO.pack, GPUS[gpu])


def fitting(shapes: Shapes, config: TrainConfig, gpu: str, num_gpus: int) -> bool:
    return fits(shapes, workload(config, DEMO.pack, shapes, GPUS[gpu], num_gpus), GPUS[gpu], num_gpus)


def problems(config: TrainConfig, base: str, cluster: str) -> list[str]:
    spec = DEMO.model_copy(update={"train": {"m": config}})
    found = cluster_problems(spec, BaseModel(KNOWN_CONFIGS[base], base), parse_cluster(cluster))
    return [str(problem) for problem in found]


@pytest.mark.parametrize("base", ["llama-2-7b", "llama-2-70b"])
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("cluster", ["v100-8x16", "v100-16x8"])
def test_the_papers_runs_fit_the_papers_machines(method: str, base: str, cluster: str) -> None:
    assert problems(config_of(method), base, cluster) == []


def test_the_smallest_cluster_is_the_first_that_fits_and_needs_at_least_the_states() -> None:
    config = config_of("full")
    found = smallest(LLAMA_2_70B, config, "h100-80")
    assert found is not None
    assert found.num_gpus >= 13  # which hold the states alone
    assert fitting(LLAMA_2_70B, config, "h100-80", found.num_gpus)
    assert not fitting(LLAMA_2_70B, config, "h100-80", found.num_gpus // 2)


def test_a_batch_that_does_not_divide_is_not_called_fitting() -> None:
    assert not fitting(LLAMA_2_7B, config_of("lora", global_batch_size=12), "h200", 8)


def template_of(resources: dict[str, Any]) -> JobTemplate:
    pytorch = {"name": "pytorch", "image": "i", "resources": resources}
    return JobTemplate.model_validate(
        {"nodes": 2, "processes_per_node": 8, "max_restarts": 0, "max_hours_waiting": 1, "max_hours_working": 1}
        | {"pod": {"spec": {"containers": [pytorch]}}}
    )


@pytest.mark.parametrize(("request_", "told"), [("400Gi", True), ("600Gi", False), (None, False)])
def test_pods_that_request_too_little_disk_are_told(
    caplog: pytest.LogCaptureFixture, request_: str | None, told: bool
) -> None:
    """A node has the base of 138 GB, as much of a trained model, and a fourth of a checkpoint of 828 GB."""
    spec = DEMO.model_copy(update={"train": {"m": config_of("full", "bfloat16")}})
    template = template_of({"requests": {"ephemeral-storage": request_} if request_ else {}})
    warn_of_room(spec, BaseModel(KNOWN_CONFIGS["llama-2-70b"], ""), parse_cluster("a100-80-4x8"), template)
    assert ("train.m probably needs 483 GB of disk on each node" in caplog.text) == told
    assert ("requests 400Gi (ephemeral-storage)" in caplog.text) == told


@pytest.mark.parametrize(("limit", "told"), [("100Gi", True), ("480Gi", False), (None, False)])
def test_pods_that_may_have_too_little_main_memory_are_told(
    caplog: pytest.LogCaptureFixture, limit: str | None, told: bool
) -> None:
    """Eight processes of a node load the model of 13.5 GB each, as they do not split it."""
    spec = DEMO.model_copy(update={"train": {"m": config_of("lora", zero_stage=1)}})
    template = template_of({"limits": {"memory": limit} if limit else {}})
    warn_of_room(spec, BaseModel(KNOWN_CONFIGS["llama-2-7b"], ""), parse_cluster("a100-80-2x8"), template)
    assert ("train.m probably needs 139 GB of main memory on each node" in caplog.text) == told
    assert ("limits its pods to 100Gi" in caplog.text) == told


def test_what_does_not_fit_is_told_with_what_would() -> None:
    [problem] = problems(config_of("full", zero_stage=1, gradient_checkpointing=True), "llama-2-70b", "v100-8x16")
    assert problem.startswith("train.m: needs 3")
    assert "GiB of each GPU on v100-32-8x16, which has 29.2 for it, with zero_stage: 1" in problem
    assert "it fits with zero_stage: 3 and gradient_checkpointing: true" in problem
    [problem] = problems(config_of("full"), "llama-2-70b", "v100-1x8")
    assert "it fits with the cluster v100-32-" in problem


def test_a_base_that_is_counted_as_if_it_were_a_llama_is_warned_of_and_not_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    spec = DEMO.model_copy(update={"train": {"m": config_of("full")}})
    base = BaseModel({**KNOWN_CONFIGS["llama-2-70b"], "model_type": "olmo2"}, "")
    assert list(cluster_problems(spec, base, parse_cluster("v100-1x8"))) == []
    assert "as if the base were a Llama: train.m: needs" in caplog.text


def test_bfloat16_is_refused_on_v100s_together_with_what_does_not_fit() -> None:
    found = problems(config_of("full", "bfloat16"), "llama-2-70b", "v100-1x8")
    assert [problem.partition(":")[0] for problem in found] == ["train.m.precision", "train.m"]
    assert "set float16" in found[0]


def test_weights_whole_on_every_gpu_fit_no_number_of_them() -> None:
    config = config_of("full", zero_stage=2)
    assert smallest(LLAMA_2_70B, config, "h200") is None
    work = workload(config, DEMO.pack, LLAMA_2_70B, GPUS["h200"], 1024)
    assert gpu_memory(LLAMA_2_70B, work, 1024).weights > GPUS["h100-80"].usable_bytes


def test_what_is_left_open_is_chosen_for_each_cluster_and_needs_no_more_gpus_than_what_is_set() -> None:
    few, many = (workload(config_of("full"), DEMO.pack, LLAMA_2_7B, GPUS["h100-80"], size) for size in (2, 64))
    assert few.config.zero_stage > many.config.zero_stage
    left_open = smallest(LLAMA_2_7B, config_of("full"), "v100-32")
    is_set = smallest(LLAMA_2_7B, config_of("full", zero_stage=3, gradient_checkpointing=True), "v100-32")
    assert left_open == is_set


def test_activations_are_kept_where_attention_takes_no_mask() -> None:
    pack = DEMO.pack.model_copy(update={"policy": "best_fit"})
    mistral = Shapes.read({**KNOWN_CONFIGS["llama-3-8b"], "model_type": "mistral", "vocab_size": 32_768})
    config = config_of("full", "bfloat16")
    for attention, checkpointing in (("auto", False), ("sdpa", True)):
        asked = config.model_copy(update={"attention": attention})
        work = workload(asked, pack, mistral, GPUS["h100-80"], 8)
        assert work.config.gradient_checkpointing is checkpointing
    assert workload(config_of("full"), pack, mistral, GPUS["v100-32"], 8).masked


def test_a_template_says_by_its_label_which_cluster_it_asks_for() -> None:
    base = REPOSITORY / "k8s/base/job_template.yaml"
    assert cluster_of(JobTemplate.read(base)) is None
    parts = [
        REPOSITORY / "k8s" / part for part in ("components/gpu-v100/20-gpu.yaml", "overlays/v100-8x16/90-size.yaml")
    ]
    assert str(cluster_of(JobTemplate.read(base, *parts))) == "v100-32-8x16"
