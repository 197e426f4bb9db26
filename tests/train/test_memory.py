"""Against what torch and DeepSpeed take of models that exist, and against DeepSpeed's own estimators."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import weakref
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from med42lib.planning.base_model import KNOWN_CONFIGS
from med42lib.planning.hardware import GIBIBYTE
from med42lib.train.attention import SAMPLE_ATTENTION
from med42lib.train.config import ResolvedConfig
from med42lib.train.loss import ChunkBatch, response_loss
from med42lib.train.memory import GpuMemory, Workload, gpu_memory
from med42lib.train.model import parameter_groups
from med42lib.train.shapes import Shapes
from tests.processes import ALONE
from tests.tiny_llama import make_llama

LENGTH, VOCABULARY, BUCKET = 256, 500, 1_000_000
SETTLED: dict[str, Any] = {"zero_stage": 3, "gradient_checkpointing": False}
BASE: dict[str, Any] = {"learning_rate": 1e-4, "warmup_steps": 0, "epochs": 1, "global_batch_size": 128, "seed": 1}
CASES = [(1, 64), (3, 64), (2, 1024), (3, 1024)]
"""ZeRO stage and chunk length: of short chunks the optimiser's step has the peak, of long ones the activations."""
LLAMA_2_70B = Shapes.read(KNOWN_CONFIGS["llama-2-70b"])


def work_of(*, masked: bool = False, chunk_length: int = 4096, **settings: Any) -> Workload:
    config = ResolvedConfig(**{**BASE, **SETTLED, "method": "full", "precision": "bfloat16", **settings})
    return Workload(config, chunk_length, masked)


MEASURE_DEEPSPEED = """
import json, sys
from tests.train.test_memory import peak_of_deepspeed
from med42lib.train.worker import deepspeed_engine
from med42lib.train.attention import SAMPLE_ATTENTION
from med42lib.train.config import ResolvedConfig
cases = json.loads(sys.argv[1])
deepspeed_engine.join_processes(ResolvedConfig(**cases[0][0]))
print(json.dumps([peak_of_deepspeed(ResolvedConfig(**config), length) for config, length in cases]))
"""


class PeakOfTensors(TorchDispatchMode):
    """Counts the bytes of tensors that are made while it is on and not yet gone, and the most there ever were."""

    def __init__(self, *there_before: torch.Tensor) -> None:
        super().__init__()
        self._before = {tensor.untyped_storage()._cdata for tensor in there_before}
        self._sizes: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        self.peak = max(self.peak, sum(self._sizes.values()))
        return made

    def _count(self, storage: Any) -> None:
        key = storage._cdata
        if key not in self._before and key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            weakref.finalize(storage, self._sizes.pop, key, None)


def adapted(model: Any, rank: int) -> Any:
    from peft import LoraConfig, get_peft_model

    settings = LoraConfig(r=rank, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(model, settings, autocast_adapter_dtype=False)


def tiny(model_type: str, length: int) -> Any:
    """Make a model of a kind, of sizes that every kind has."""
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"vocab_size": VOCABULARY, "hidden_size": 128, "intermediate_size": 344, "num_hidden_layers": 4}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32}
    others = {"max_position_embeddings": length, "pad_token_id": 0}
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **sizes, **heads, **others))


def measured_passes(
    work: Workload, attention: str = "sdpa", samples: int = 1, model_type: str = "llama"
) -> tuple[int, GpuMemory]:
    """Bytes that a second forward and backward pass really has beside weights and gradients, and what was planned."""
    model = tiny(model_type, work.chunk_length)
    shapes = Shapes.read(model.config.to_dict())
    model = model.to(getattr(torch, work.config.precision))
    model.set_attn_implementation(attention)
    if work.config.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model = model if work.is_full else adapted(model, work.config.lora.rank)
    batch = whole_response(work, samples)
    response_loss(model.train(), batch).backward()
    gc.collect()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    with PeakOfTensors(*model.parameters(), *model.buffers(), *gradients) as tensors:
        response_loss(model, batch).backward()
    return tensors.peak, gpu_memory(shapes, work, 1)


def whole_response(work: Workload, samples: int = 1) -> ChunkBatch:
    ids = torch.ones(work.config.micro_batch_size, work.chunk_length, dtype=torch.int64)
    positions = torch.arange(work.chunk_length).remainder(work.chunk_length // samples).expand_as(ids)
    return ChunkBatch(ids, ids, positions, num_tokens=ids.numel(), num_response_tokens=ids.numel(), num_pairs=0)


@pytest.mark.parametrize("masked", [False, True], ids=["concatenate", "best_fit"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointing"])
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_activations_and_logits_are_those_of_a_model_that_exists(
    precision: str, method: str, checkpointing: bool, masked: bool
) -> None:
    work = work_of(
        precision=precision, method=method, gradient_checkpointing=checkpointing, masked=masked, chunk_length=LENGTH
    )
    peak, planned = measured_passes(work, samples=4 if masked else 1)
    assert planned.activations + planned.logits == pytest.approx(peak, rel=0.05)


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointing"])
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_attention_sample_by_sample_takes_no_mask_and_no_more_keys(
    precision: str, method: str, checkpointing: bool
) -> None:
    work = work_of(precision=precision, method=method, gradient_checkpointing=checkpointing, chunk_length=LENGTH)
    peak, planned = measured_passes(work, SAMPLE_ATTENTION, samples=4)
    assert planned.activations + planned.logits == pytest.approx(peak, rel=0.05)


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointing"])
def test_attention_that_is_computed_for_all_pairs_keeps_each_of_them(checkpointing: bool) -> None:
    work = work_of(gradient_checkpointing=checkpointing, chunk_length=1024)
    peak, planned = measured_passes(work, "eager", model_type="gemma2")
    assert planned.activations + planned.logits == pytest.approx(peak, rel=0.1)


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointing"])
@pytest.mark.parametrize("model_type", ["mistral", "granite", "qwen2"])
def test_some_other_kinds_keep_what_a_llama_does(model_type: str, checkpointing: bool) -> None:
    assert Shapes.read({**KNOWN_CONFIGS["llama-2-7b"], "model_type": model_type}).measured
    work = work_of(gradient_checkpointing=checkpointing, chunk_length=LENGTH)
    peak, planned = measured_passes(work, model_type=model_type)
    assert planned.activations + planned.logits == pytest.approx(peak, rel=0.05)


@pytest.mark.parametrize("model_type", ["qwen3", "gemma", "gemma2", "gemma3_text"])
def test_kinds_that_keep_more_are_not_said_to_be_measured(model_type: str) -> None:
    shapes = Shapes.read({**KNOWN_CONFIGS["llama-2-7b"], "model_type": model_type})
    assert shapes.exact
    assert not shapes.measured
    attention = "eager" if model_type == "gemma2" else "sdpa"
    peak, planned = measured_passes(work_of(chunk_length=LENGTH), attention, model_type=model_type)
    assert peak > 1.05 * (planned.activations + planned.logits), "a refusal for too little memory is right"


def test_two_chunks_in_a_forward_pass_take_twice_the_memory_of_one() -> None:
    peak, planned = measured_passes(work_of(micro_batch_size=2, chunk_length=LENGTH))
    assert planned.activations + planned.logits == pytest.approx(peak, rel=0.05)


def llama_for_deepspeed() -> Any:
    sizes = {"hidden_size": 256, "intermediate_size": 688, "num_attention_heads": 8}
    return make_llama(vocab_size=1000, num_hidden_layers=4, max_position_embeddings=2048, **sizes)


def peak_of_deepspeed(config: ResolvedConfig, length: int) -> int:
    """Bytes that two steps of two passes really have at their peak, all states included, in one process."""
    import deepspeed

    from med42lib.train.worker.deepspeed_engine import deepspeed_config

    settings = deepspeed_config(config, 1)
    settings["zero_optimization"]["reduce_bucket_size"] = BUCKET
    batch = whole_response(Workload(config, length, masked=False))
    with PeakOfTensors() as tensors:
        model = llama_for_deepspeed().to(getattr(torch, config.precision)).train()
        optimizer = torch.optim.AdamW(parameter_groups(model, 0.1), fused=True)
        engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=settings, dist_init_required=False)
        del model, optimizer
        gc.collect()
        tensors.peak = 0
        for _ in range(4):
            engine.backward(response_loss(engine, batch), scale_wrt_gas=False)
            engine.step()
    engine.destroy()
    return tensors.peak


@pytest.mark.slow
def test_a_peak_is_that_of_deepspeed_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("med42lib.train.memory._BUCKET", BUCKET)
    cases = [(work_of(zero_stage=stage, global_batch_size=2), length) for stage, length in CASES]
    settings = [(work.config.model_dump(), length) for work, length in cases]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE_DEEPSPEED, json.dumps(settings)],
        env={**os.environ, **ALONE, "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    shapes = Shapes.read(llama_for_deepspeed().config.to_dict())
    peaks = json.loads(done.stdout.splitlines()[-1])
    planned = [gpu_memory(shapes, Workload(work.config, length, work.masked), 1).total for work, length in cases]
    assert planned == pytest.approx(peaks, rel=0.1)


@pytest.mark.parametrize("num_gpus", [8, 64, 128])
@pytest.mark.parametrize("stage", [2, 3])
def test_states_agree_with_deepspeeds_own_estimators(stage: int, num_gpus: int) -> None:
    from med42lib.train.worker.deepspeed_engine import import_deepspeed

    import_deepspeed("cpu")
    from deepspeed.runtime.zero.stage3 import estimate_zero3_model_states_mem_needs
    from deepspeed.runtime.zero.stage_1_and_2 import estimate_zero2_model_states_mem_needs

    total, largest = 68_976_648_192, LLAMA_2_70B.output_layer
    if stage == 2:
        _, expected = estimate_zero2_model_states_mem_needs(total, num_gpus, 1, cpu_offload=False)
    else:
        _, expected, _ = estimate_zero3_model_states_mem_needs(total, largest, num_gpus, 1, cpu_offload=False)
    planned = gpu_memory(LLAMA_2_70B, work_of(zero_stage=stage), num_gpus)
    gradient_in_float32 = 4 * min(total / num_gpus, 1e9 if stage == 3 else total)
    assert planned.states + gradient_in_float32 == pytest.approx(expected, rel=0.1)


def test_a_peak_on_a_gpu_is_met() -> None:
    """Measured on one H200: a plain loop, fused AdamW, 3.2B, bfloat16, chunks of 4,096 without a mask, took 61 GiB."""
    sizes = {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "vocab_size": 32_000}
    shapes = Shapes.read({**sizes, "num_attention_heads": 24, "num_key_value_heads": 8})
    planned = gpu_memory(shapes, work_of(zero_stage=1), 1)
    assert (planned.states + planned.activations) / GIBIBYTE == pytest.approx(61, rel=0.05)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_each_zero_stage_splits_one_thing_more(method: str) -> None:
    one, two, three = (gpu_memory(LLAMA_2_70B, work_of(method=method, zero_stage=stage), 16) for stage in (1, 2, 3))
    assert one.weights == two.weights == pytest.approx(16 * three.weights)
    assert one.gradients == pytest.approx(16 * two.gradients)
    assert two.gradients == three.gradients
    assert one.optimizer == two.optimizer == three.optimizer


def test_the_exchange_of_gradients_takes_no_more_memory_than_there_are_gradients() -> None:
    full, lora = (gpu_memory(LLAMA_2_70B, work_of(method=method, zero_stage=1), 1) for method in ("full", "lora"))
    assert full.buffers - lora.buffers > 0.9 * 2 * 500_000_000
    assert lora.buffers < 1.2 * lora.gradients


def test_a_base_in_four_bits_takes_little_more_than_a_quarter_and_its_adapter_what_any_does() -> None:
    lora, qlora = (gpu_memory(LLAMA_2_70B, work_of(method=method, zero_stage=1), 1) for method in ("lora", "qlora"))
    assert qlora.weights == pytest.approx(0.2655 * lora.weights, rel=0.02)
    assert (qlora.gradients, qlora.optimizer) == (lora.gradients, lora.optimizer)
    assert qlora.buffers - lora.buffers == 2 * 8_192 * 28_672  # a layer that is made whole


def test_states_of_a_full_training_are_16_bytes_a_parameter_and_of_lora_those_of_the_adapter() -> None:
    full = gpu_memory(LLAMA_2_70B, work_of(), 1)
    assert full.states == 16 * 68_976_648_192
    lora = gpu_memory(LLAMA_2_70B, work_of(method="lora"), 1)
    assert lora.states == 2 * 68_976_648_192 + 16 * 103_546_880
