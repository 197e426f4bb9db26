"""A tiny base model and tiny packed data, made on the spot."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from med42lib.formats.packed import (
    CHUNKS_FILE,
    INFO_FILE,
    PIECES_FILE,
    RESPONSES_FILE,
    SAMPLE_IDS_FILE,
    SAMPLES_FILE,
    TOKENS_FILE,
    PackInfo,
)
from med42lib.store.address import open_store
from med42lib.store.publish import Upload
from med42lib.train.config import ResolvedConfig, TrainConfig
from med42lib.train.job import OUTPUT, TrainingJob
from tests.processes import ALONE
from tests.tiny_llama import make_llama

VOCABULARY = 64
EOS = 1
FULL = TrainConfig(
    method="full",
    learning_rate=1e-2,
    warmup_steps=1,
    epochs=2,
    global_batch_size=4,
    seed=7,
    zero_stage=3,
    gradient_checkpointing=False,
)
RESOLVED = ResolvedConfig.model_validate(FULL.model_dump())
VARIANTS: dict[str, dict[str, object]] = {
    "plain": {},
    "zero 1": {"zero_stage": 1},
    "zero 2": {"zero_stage": 2},
    "auto": {"zero_stage": "auto", "gradient_checkpointing": "auto"},
    "checkpointing": {"gradient_checkpointing": True},
    "bfloat16": {"precision": "bfloat16"},
    "lora": {"method": "lora"},
    "lora checkpointing": {"method": "lora", "gradient_checkpointing": True},
    "optimiser": {
        **{"adam_beta1": 0.7, "adam_beta2": 0.8, "adam_epsilon": 1e-3, "weight_decay": 2.0, "max_grad_norm": 0.05},
    },
}
TRAIN_VARIANTS = """
import sys
from pathlib import Path
from med42lib.train.job import TrainingJob
from med42lib.train.worker import deepspeed_engine, training
jobs = [TrainingJob.read(address) for address in sys.argv[2:]]
waiting = deepspeed_engine.join_processes(jobs[0].config)
for job in jobs:
    scratch = Path(sys.argv[1], job.attempt)
    scratch.mkdir()
    training._train(job, scratch, waiting)
deepspeed_engine.leave_processes(waiting)
"""


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have two processes train, without a GPU."""
    monkeypatch.setenv("MED42_PROCESSES_PER_NODE", "2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture
def config() -> ResolvedConfig:
    return RESOLVED


@pytest.fixture(scope="session")
def single_process_losses(
    base_model: Path, packed_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[float]]:
    """Losses of each of the `VARIANTS` of `FULL`, trained one after the other in one process without torchrun."""
    folder = tmp_path_factory.mktemp("variants")
    jobs = {}
    for name, settings in VARIANTS.items():
        config = FULL.model_copy(update=settings)
        jobs[name] = job_of(config, packed_data, base_model, folder / "store", key=name)
        jobs[name].write()
    train_alone(list(jobs.values()), folder)
    return {name: read_metric(output_of(job), "loss") for name, job in jobs.items()}


def train_alone(jobs: list[TrainingJob], folder: Path) -> None:
    """Train jobs one after the other in one process, without torchrun."""
    environment = {**os.environ, **ALONE, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "2"}
    addresses = [job.address for job in jobs]
    subprocess.run([sys.executable, "-c", TRAIN_VARIANTS, str(folder), *addresses], env=environment, check=True)


def job_of(
    config: TrainConfig, packed: Path | str, model: Path | str, store: Path | str, *, key: str = "k"
) -> TrainingJob:
    """Make a job of an attempt of its own."""
    upload = Upload(open_store(str(store)), f"train/{key}")
    return TrainingJob(config, str(packed), str(model), "b", str(store), upload.prefix, upload.attempt)


def output_of(job: TrainingJob) -> Path:
    """Say where a job in a local store has put what was trained."""
    return Path(job.upload.address) / OUTPUT


def read_metric(trained: Path, key: str) -> list[float]:
    lines = (trained / "metrics.jsonl").read_text().splitlines()
    return [row["value"] for row in map(json.loads, lines) if row["key"] == key]


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What fetch_model leaves: a folder that holds `model/`, a Llama with grouped-query attention."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    llama = make_llama(
        vocab_size=VOCABULARY,
        intermediate_size=48,
        num_key_value_heads=2,
        max_position_embeddings=64,
        bos_token_id=0,
        eos_token_id=EOS,
    )
    llama.save_pretrained(folder / "model")
    words = Tokenizer(WordLevel({f"w{number}": number for number in range(VOCABULARY)}, unk_token="w2"))
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="w1", unk_token="w2").save_pretrained(folder / "model")
    return folder


@pytest.fixture
def lacking_model(base_model: Path, tmp_path: Path) -> Path:
    """A base model that lacks one weight."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(base_model, tmp_path / "lacking")
    path = tmp_path / "lacking/model/model.safetensors"
    weights = load_file(path)
    del weights["model.layers.1.self_attn.q_proj.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    return tmp_path / "lacking"


@pytest.fixture(scope="session")
def packed_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine chunks of 24 slots: five steps of four chunks in two epochs leave three blanks at each epoch's end."""
    folder = tmp_path_factory.mktemp("packed")
    write_packed(folder, num_chunks=9)
    return folder


@pytest.fixture(scope="session")
def packed_with_validation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same nine chunks, and three that are held out."""
    folder = tmp_path_factory.mktemp("packed")
    write_packed(folder, num_chunks=9, num_validation_chunks=3)
    return folder


def write_packed(folder: Path, *, num_chunks: int, chunk_length: int = 24, num_validation_chunks: int = 0) -> None:
    """Two samples to a chunk, the second longer; a sample's second half, the response, repeats its first."""
    generator = np.random.default_rng(3)
    halves = [4, 7] * (num_chunks + num_validation_chunks)
    questions = [generator.integers(3, VOCABULARY, half) for half in halves]
    responses = [np.arange(2 * half) >= half for half in halves]
    responses[0][:] = responses[1][:] = False  # nothing to learn from the first chunk
    starts = np.cumsum([0, *(2 * half for half in halves)])
    np.concatenate([np.tile(question, 2) for question in questions]).astype(np.uint16).tofile(folder / TOKENS_FILE)
    np.concatenate(responses).astype(np.uint8).tofile(folder / RESPONSES_FILE)
    np.save(folder / SAMPLES_FILE, starts)
    (folder / SAMPLE_IDS_FILE).write_text("".join(f"demo/{number}\n" for number in range(len(halves))))
    np.save(folder / PIECES_FILE, np.array([[number, 0, 2 * half] for number, half in enumerate(halves)]))
    np.save(folder / CHUNKS_FILE, np.arange(0, len(halves) + 1, 2))
    info = PackInfo(
        policy="best_fit",
        chunk_length=chunk_length,
        num_examples=len(halves),
        num_chunks=num_chunks,
        num_tokens=int(starts[2 * num_chunks]),
        num_response_tokens=int(np.concatenate(responses[: 2 * num_chunks]).sum()),
        num_dropped=0,
        num_truncated=0,
        eos_token_id=EOS,
        pad_token_id=EOS,
        vocabulary_size=VOCABULARY,
        num_validation_examples=2 * num_validation_chunks,
        num_validation_chunks=num_validation_chunks,
        num_validation_response_tokens=11 * num_validation_chunks,
    )
    (folder / INFO_FILE).write_text(json.dumps(asdict(info)))
