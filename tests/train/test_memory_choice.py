import math
from dataclasses import replace
from typing import Any

import pytest

from med42lib.planning.hardware import GIBIBYTE
from med42lib.train.config import ResolvedConfig, TrainConfig
from med42lib.train.memory import Workload, gpu_memory
from med42lib.train.memory_choice import choose, variants
from med42lib.train.shapes import Shapes

SIZES = {"vocab_size": 32_000, "hidden_size": 4_096, "intermediate_size": 11_008, "num_hidden_layers": 32}
LLAMA_2_7B = Shapes.read({**SIZES, "num_attention_heads": 32})
BASE = {"learning_rate": 1e-4, "warmup_steps": 0, "epochs": 1, "global_batch_size": 128, "seed": 1}
AUTO = TrainConfig.model_validate({**BASE, "method": "full", "precision": "bfloat16"})


def needed(config: ResolvedConfig, num_processes: int) -> float:
    return gpu_memory(LLAMA_2_7B, Workload(config, 4096, masked=False), num_processes).total


def chosen(
    usable_bytes: float,
    shapes: Shapes | None = LLAMA_2_7B,
    processes: int = 8,
    host_bytes: float = math.inf,
    **settings: Any,
) -> tuple[int, bool]:
    """Give stage and checkpointing."""
    config = choose(
        AUTO.model_copy(update=settings),
        shapes,
        chunk_length=4096,
        masked=False,
        num_processes=processes,
        usable_bytes=usable_bytes,
        host_bytes=host_bytes,
    )
    return config.zero_stage, config.gradient_checkpointing


@pytest.mark.parametrize("gibibytes", [25, 32, 40, 48, 64, 80, 100, 140, 200])
def test_the_first_that_fits_with_a_tenth_to_spare_is_taken(gibibytes: float) -> None:
    usable = gibibytes * GIBIBYTE
    needs = {(each.zero_stage, each.gradient_checkpointing): needed(each, 8) * 1.1 for each in variants(AUTO)}
    found = chosen(usable)
    before = list(needs)[: list(needs).index(found)]
    assert needs[found] <= usable
    assert all(needs[each] > usable for each in before)


def test_memory_enough_for_all_takes_the_fastest_and_none_the_most_frugal() -> None:
    assert chosen(1e15) == (1, False)
    assert chosen(1e9) == (3, True)


def test_a_model_that_main_memory_cannot_hold_for_each_process_is_split_while_it_is_loaded() -> None:
    assert chosen(1e15, host_bytes=14e9) == (1, False)
    assert chosen(1e15, host_bytes=13e9) == (3, False)


def test_more_processes_need_less_of_zero() -> None:
    stages = [chosen(73e9, processes=processes)[0] for processes in (1, 2, 4, 8, 16, 64)]
    assert stages == sorted(stages, reverse=True)
    assert stages[0] > stages[-1]


@pytest.mark.parametrize("memory", [1e9, 40e9, 1e15])
def test_what_is_set_stays(memory: float) -> None:
    for stage in (1, 2, 3):
        assert chosen(memory, zero_stage=stage)[0] == stage
    for checkpointing in (False, True):
        assert chosen(memory, gradient_checkpointing=checkpointing)[1] is checkpointing
    assert chosen(memory, zero_stage=2, gradient_checkpointing=True) == (2, True)


def test_a_model_whose_memory_is_not_known_is_split_as_far_as_can_be() -> None:
    assert chosen(1e15, shapes=None) == (3, False)
    assert chosen(1e15, shapes=None, zero_stage=1) == (1, False)
    assert chosen(1e15, shapes=None, gradient_checkpointing=True) == (3, True)


def test_a_model_that_keeps_more_than_is_worked_out_keeps_no_activations_unless_it_is_told_to() -> None:
    gemma = replace(LLAMA_2_7B, measured=False)
    assert chosen(1e15, shapes=gemma) == (1, True)
    assert chosen(1e9, shapes=gemma) == (3, True)
    assert chosen(1e15, shapes=gemma, gradient_checkpointing=False) == (1, False)


def test_a_base_in_four_bits_is_never_split() -> None:
    assert chosen(1e9, method="qlora") == (2, True)
    assert chosen(1e15, shapes=None, method="qlora") == (2, False)


def test_settings_that_are_resolved_are_the_same_otherwise() -> None:
    config = AUTO.model_copy(update={"method": "lora", "adam_beta1": 0.5})
    for variant in variants(config):
        settled = {"zero_stage": variant.zero_stage, "gradient_checkpointing": variant.gradient_checkpointing}
        assert variant.model_dump() == {**config.model_dump(), **settled}
