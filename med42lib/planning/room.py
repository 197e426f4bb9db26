"""The room that a training needs beside its GPUs: main memory, /dev/shm and disk of a node, and object storage."""

from __future__ import annotations

from dataclasses import dataclass

from med42lib.planning.hardware import Cluster
from med42lib.store.checkpoints import KEEP
from med42lib.train.config import TrainConfig
from med42lib.train.memory import Workload, copy_bytes, count_trained, loading_bytes
from med42lib.train.shapes import Shapes, count_parameters

_STORED_BYTES = 2
"""Of a parameter of the base model: published weights are of 16 bits."""

_SHARD_BYTES = 5e9
"""A file of weights, which is put together in main memory (`train.weights`)."""

_LIBRARIES_BYTES = 3e9
"""Main memory of a process before it has a model: torch, CUDA and DeepSpeed. Not measured on a GPU."""

_NCCL_BYTES = 32 * 2 * 4 * (1 << 20)
"""Shared memory of a process where GPUs do not reach each other: 32 channels at most, to and fro, of NCCL_BUFFSIZE."""

_UINT16_TOKENS = 1 << 16


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes, for each node unless it says otherwise."""

    host_memory: float
    shared_memory: float
    scratch: float
    """Disk of the first node, which has the most."""
    fetched: float
    """Over all nodes, by each start and before the first step. A folder that all nodes share is read in its place."""
    checkpoint: float
    """One checkpoint, over all processes."""
    storage: float
    """Of this training in the store, while it goes on and after; data and base model included."""


def plan_room(shapes: Shapes, work: Workload, cluster: Cluster, tokens: float) -> Room:
    """Work out the room that a training needs.

    Args:
        shapes: Of the model.
        work: The training.
        cluster: What it runs on.
        tokens: In the packed data.
    """
    base, packed = _STORED_BYTES * count_parameters(shapes), packed_bytes(tokens, shapes.vocabulary)
    trained = work.number * count_trained(shapes, work.config)
    checkpoint = checkpoint_bytes(shapes, work.config)
    # A process that saves has a copy of its part in main memory, but not while it loads.
    copied = copy_bytes(shapes, work.config, cluster.num_gpus)
    process = _LIBRARIES_BYTES + max(loading_bytes(shapes, work), copied)
    return Room(
        host_memory=cluster.gpus_per_node * process + _SHARD_BYTES,
        shared_memory=cluster.gpus_per_node * _NCCL_BYTES,
        scratch=packed + base + checkpoint / cluster.nodes + trained,
        fetched=cluster.nodes * (packed + base),
        checkpoint=checkpoint,
        storage=packed + base + (KEEP + 1 + work.config.load_best_model_at_end) * checkpoint + trained,
    )


def checkpoint_bytes(shapes: Shapes, config: TrainConfig) -> float:
    """Size a checkpoint: the optimiser's states, of which the weights are made."""
    return copy_bytes(shapes, config, 1)


def packed_bytes(tokens: float, vocabulary: int) -> float:
    """Size packed data: an id of two or four bytes, and a mark of one."""
    return tokens * (3 if vocabulary < _UINT16_TOKENS else 5)
