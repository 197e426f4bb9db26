from typing import Any

import pytest

from med42lib.planning.base_model import KNOWN_CONFIGS
from med42lib.planning.hardware import parse_cluster
from med42lib.planning.room import checkpoint_bytes, packed_bytes, plan_room
from med42lib.train.config import ResolvedConfig
from med42lib.train.memory import Workload
from med42lib.train.shapes import Shapes

LLAMA_2_7B = Shapes.read(KNOWN_CONFIGS["llama-2-7b"])
SETTLED: dict[str, Any] = {"zero_stage": 3, "gradient_checkpointing": False}
BASE: dict[str, Any] = {"learning_rate": 1e-4, "warmup_steps": 0, "epochs": 1, "global_batch_size": 128, "seed": 1}
CLUSTER = parse_cluster("v100-8x16")


def work_of(method: str, **settings: Any) -> Workload:
    config = ResolvedConfig(**{**BASE, **SETTLED, "method": method, "precision": "float16", **settings})
    return Workload(config, 4096, masked=False)


@pytest.mark.parametrize("stage", [3, 2, 1])
def test_a_checkpoint_holds_the_states_of_what_is_trained(stage: int) -> None:
    assert checkpoint_bytes(LLAMA_2_7B, work_of("full", zero_stage=stage).config) == 12 * 6_738_415_616
    assert checkpoint_bytes(LLAMA_2_7B, work_of("lora", zero_stage=stage).config) == 12 * 19_988_480


def test_a_node_has_room_for_the_copy_of_its_part_that_a_checkpoint_is_saved_from() -> None:
    room = plan_room(LLAMA_2_7B, work_of("full"), CLUSTER, 1e6)
    assert room.host_memory > CLUSTER.gpus_per_node * room.checkpoint / CLUSTER.num_gpus


def test_a_node_needs_main_memory_for_the_whole_model_in_each_process_unless_zero_3_splits_it() -> None:
    split, whole = (
        plan_room(LLAMA_2_7B, work_of("lora", zero_stage=stage), CLUSTER, 1e6).host_memory for stage in (3, 2)
    )
    assert whole > 16 * 2 * 6_738_415_616 > split


def test_the_store_holds_data_base_three_checkpoints_and_what_was_trained() -> None:
    room = plan_room(LLAMA_2_7B, work_of("full"), CLUSTER, 230e6)
    assert room.storage == packed_bytes(230e6, 32_000) + (2 + 3 * 12 + 2) * 6_738_415_616
    assert room.scratch == packed_bytes(230e6, 32_000) + (2 + 12 / 8 + 2) * 6_738_415_616


def test_each_node_fetches_data_and_the_whole_base() -> None:
    room = plan_room(LLAMA_2_7B, work_of("lora"), CLUSTER, 230e6)
    assert room.fetched == 8 * (packed_bytes(230e6, 32_000) + 2 * 6_738_415_616)


def test_the_best_model_takes_the_store_one_checkpoint_more() -> None:
    last, best = (
        plan_room(LLAMA_2_7B, work_of("full", load_best_model_at_end=best), CLUSTER, 230e6) for best in (False, True)
    )
    assert best.storage - last.storage == last.checkpoint == best.checkpoint


@pytest.mark.parametrize("vocabulary", [60_000, 70_000])
def test_packed_data_take_what_the_writer_writes(vocabulary: int) -> None:
    from med42lib.formats.packed import token_dtype

    assert packed_bytes(10, vocabulary) == 10 * (token_dtype(vocabulary)(0).itemsize + 1)
