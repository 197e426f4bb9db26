"""The memory that a training takes on each GPU, or of main memory in each process without one, by what takes it.

    weights, gradients, optimiser    there all the time; what of them ZeRO splits is divided by the number of GPUs
    activations                      what the forward pass keeps for the backward pass, and one layer's backward pass
    logits                           of the output layer, with the loss and its gradient
    buffers                          DeepSpeed's, and the optimiser's while it makes a step

Worked out from what transformers' Llama keeps (5.21 to 5.23, attention `sdpa`) and from DeepSpeed's defaults (0.18 and
0.19), neither of which this project changes; tests count both on models that exist.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

from med42lib.train.config import ResolvedConfig, TrainConfig
from med42lib.train.shapes import Shapes, count_lora_parameters, count_parameters, linear_weights

BYTES_PER_NUMBER = {"float32": 4, "bfloat16": 2, "float16": 2}
OPTIMIZER_BYTES = 12
"""Of a trained parameter, in float32: its own copy, Adam's mean of gradients, and its mean of squares (Rajbhandari et
al. 2020, "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models", section 3.1)."""

USABLE_SHARE = 0.92
"""Of a GPU's memory, what tensors get; the rest is CUDA's context, NCCL's buffers, and gaps between tensors."""

FOUR_BIT_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Of a weight in NF4: four bits, and of each 64 a scale of eight bits, of which 256 have one in float32 (Dettmers et
al. 2023, "QLoRA: Efficient Finetuning of Quantized LLMs", section 3)."""

_STEP_BYTES = 8
"""Of a parameter that is being updated: its gradient in float32, and the root of the mean of squares. ZeRO-2 has a copy
of its gradient beside them."""

_BUCKET = 500_000_000
"""DeepSpeed's usual `reduce_bucket_size`: parameters whose gradients are exchanged together."""

_MOST_AT_ONCE = 1_000_000_000
"""DeepSpeed's `stage3_max_live_parameters` and `sub_group_size`: parameters that are whole, or updated, at a time."""

_EAGER_KEPT, _EAGER_GRADIENTS = 8, 6
"""Of a pair of slots in a head where attention is `eager`: what the softmax and softcapping's tanh keep, and gradients
of both."""

_DEEPSPEEDS_MARGIN = 1.5
"""`additional_buffer_factor` of DeepSpeed's own estimators of main memory."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What decides a training's memory beside the model: its settings, its chunks, and how attention goes over them."""

    config: ResolvedConfig
    chunk_length: int
    masked: bool
    """Whether attention takes a mask over all pairs of a chunk's slots (`attention_choice`)."""

    @property
    def tokens(self) -> int:
        """Slots in a process's forward pass."""
        return self.config.micro_batch_size * self.chunk_length

    @property
    def number(self) -> int:
        """Bytes of a weight, a gradient and an activation."""
        return BYTES_PER_NUMBER[self.config.precision]

    @property
    def is_full(self) -> bool:
        """Whether all parameters are trained."""
        return not self.config.has_adapter


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """Bytes that one GPU needs at a step's peak."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    buffers: float

    @property
    def states(self) -> float:
        """Bytes that are there all the time."""
        return self.weights + self.gradients + self.optimizer

    @property
    def total(self) -> float:
        """Bytes at the peak."""
        return float(sum(astuple(self)))


def count_trained(shapes: Shapes, config: TrainConfig) -> int:
    """Count the parameters that a method trains: all of them, or the adapter's."""
    return count_lora_parameters(shapes, rank=config.lora.rank) if config.has_adapter else count_parameters(shapes)


def bucket_size(num_trained: int) -> int:
    """Give DeepSpeed's `reduce_bucket_size`, memory that it takes whole: no more than all gradients fill."""
    return min(_BUCKET, num_trained)


def gpu_memory(shapes: Shapes, work: Workload, num_gpus: int) -> GpuMemory:
    """Work out what each of so many GPUs needs, one training process on each.

    A chunk that is all response is assumed, which has the most logits.
    """
    stage, trained = work.config.zero_stage, count_trained(shapes, work.config)
    held = count_parameters(shapes) + (0 if work.is_full else trained)
    kept, logits, layer = _kept(shapes, work), _logits(shapes, work), _layer_backward(shapes, work)
    gathered = _gathered(held, work, num_gpus) + _whole_layer(shapes, work)
    passes = kept + max(logits, layer)
    exchange, step = _exchange(trained, work, num_gpus), _step(trained, work, num_gpus)
    # Of these only the largest is there at a time: the passes, the exchange of gradients, the optimiser's step.
    if stage == 3:  # which exchanges gradients all through the backward pass
        passes += exchange
    peak = max(passes, exchange, step)
    return GpuMemory(
        weights=(work.number * held - _saved_by_four_bits(shapes, work)) / (num_gpus if stage == 3 else 1),
        gradients=work.number * trained / (num_gpus if stage >= 2 else 1),
        optimizer=OPTIMIZER_BYTES * trained / num_gpus,
        activations=kept + max(0.0, layer - logits),
        logits=logits,
        buffers=work.number * bucket_size(trained) + gathered + peak - kept - max(logits, layer),
    )


def loading_bytes(shapes: Shapes, work: Workload) -> float:
    """Size what a process has in main memory while it loads the model: with ZeRO-3 a matrix, else all of it."""
    if work.config.zero_stage == 3:
        return 4 * shapes.output_layer * _DEEPSPEEDS_MARGIN
    return float(work.number * count_parameters(shapes))


def copy_bytes(shapes: Shapes, config: TrainConfig, num_processes: int) -> float:
    """Size the copy in main memory that a process saves its part of a checkpoint from: of the optimiser's states."""
    return OPTIMIZER_BYTES * count_trained(shapes, config) / num_processes


def _saved_by_four_bits(shapes: Shapes, work: Workload) -> float:
    """Size what linear layers of a base in four bits need less."""
    return (work.number - FOUR_BIT_BYTES) * linear_weights(shapes) if work.config.method == "qlora" else 0.0


def _whole_layer(shapes: Shapes, work: Workload) -> float:
    """Size the largest linear layer, which is made whole of four bits while it computes."""
    largest = max(inputs * outputs for inputs, outputs in shapes.linear_layers)
    return float(work.number * largest) if work.config.method == "qlora" else 0.0


def _gathered(held: int, work: Workload, num_gpus: int) -> float:
    """Size the weights of other processes that ZeRO-3 has here at a time."""
    of_others = min(held, _MOST_AT_ONCE) * (1 - 1 / num_gpus) if work.config.zero_stage == 3 else 0
    return work.number * of_others


def _exchange(trained: int, work: Workload, num_gpus: int) -> float:
    """Size the copies of gradients that are there when they are added up over processes."""
    match work.config.zero_stage:
        case 1:
            copied = trained + trained / num_gpus
        case 2:
            copied = 2 * trained / num_gpus
        case 3:
            copied = 2 * bucket_size(trained)
    return float(work.number * copied)


def _step(trained: int, work: Workload, num_gpus: int) -> float:
    """Size what the optimiser has beside its states while it updates them; with ZeRO-3, a part at a time."""
    updated = trained / num_gpus
    if work.config.zero_stage == 3:
        return _STEP_BYTES * min(updated, _MOST_AT_ONCE)
    return (_STEP_BYTES + (work.number if work.config.zero_stage == 2 else 0)) * updated


def layer_bytes(shapes: Shapes, work: Workload) -> float:
    """Add up what one layer keeps of a forward pass for its backward pass."""
    number, trains_norms = work.number, work.is_full
    norms = 2 * (shapes.hidden * (4 + number * trains_norms) + 4)  # in float32, and for the norm's weight once more
    inputs = number * (2 * shapes.hidden + shapes.query)  # of q, k, v together, of gate and up together, of o
    mlp = 4 * number * shapes.intermediate  # gate, its SiLU, up, and their product
    # transformers repeats keys and values for every head where there is a mask.
    key_value = shapes.query if work.masked else shapes.key_value
    attention = number * (shapes.query + 2 * key_value) + 4 * shapes.heads
    mask = number * work.chunk_length if work.masked else 0  # as an addend, anew in every layer
    pairs = _EAGER_KEPT * _eager_pairs(shapes, work)
    adapter = 0 if trains_norms else 7 * number * work.config.lora.rank
    return float(work.tokens * (norms + inputs + mlp + attention + mask + adapter) + pairs)


def _eager_pairs(shapes: Shapes, work: Workload) -> int:
    """Count the pairs of slots that every head has there at once; none but where attention is `eager`."""
    return shapes.heads * work.tokens * work.chunk_length if shapes.attention.is_eager else 0


def _kept(shapes: Shapes, work: Workload) -> float:
    """Add up what all layers keep of a forward pass, or their inputs alone; and the mask."""
    between = work.tokens * shapes.hidden * work.number
    layers = shapes.layers * (between if work.config.gradient_checkpointing else layer_bytes(shapes, work))
    return float(layers + (work.tokens * work.chunk_length if work.masked else 0))


def _layer_backward(shapes: Shapes, work: Workload) -> float:
    """Add up what the backward pass of one layer has beside what was kept: gradients, and what it makes again."""
    gradients = work.tokens * (2 * work.number * shapes.intermediate + 4 * shapes.hidden)
    gradients += _EAGER_GRADIENTS * _eager_pairs(shapes, work)
    return gradients + (layer_bytes(shapes, work) if work.config.gradient_checkpointing else 0)


def _logits(shapes: Shapes, work: Workload) -> float:
    """Add up the loss's logarithms, their gradient and the logits', all in float32; and what the last norm keeps."""
    norm = shapes.hidden * (4 + 2 * work.number * work.is_full)
    return float(work.tokens * (12 * shapes.vocabulary + norm))
