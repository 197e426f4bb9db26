"""What a training will take, worked out before anything is spent: parameters, memory, steps.

Pure arithmetic on a Llama-style `config.json`; nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from med42lib.core.errors import DataError
from med42lib.train.config import TrainConfig
from med42lib.train.fit import count_steps

GIBIBYTE = 1 << 30
BYTES_PER_TRAINED_PARAMETER = 16
"""Mixed precision with Adam: weight 2, gradient 2, and in float32 weight, mean and mean of squares 4 each
(Rajbhandari et al. 2020, "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models", section 3.1).
Pure float32 comes to the same: 4 each for weight, gradient, mean and mean of squares."""
_BYTES_PER_NUMBER = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True)
class Shapes:
    """The sizes in a Llama-style config.json that decide how many parameters there are."""

    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    query: int
    """Output size of the query projection: heads times head size."""
    key_value: int
    """Output size of the key projection, and of the value projection: smaller under grouped-query attention."""
    tied: bool
    """True means the output layer is the embedding."""

    @classmethod
    def read(cls, config: Mapping[str, object]) -> Shapes:
        """Read the sizes from the content of a config.json.

        Raises:
            DataError: If a size is missing or is not a whole number.
        """
        heads = _size(config, "num_attention_heads")
        hidden = _size(config, "hidden_size")
        head_size = _size(config, "head_dim", hidden // heads)
        return cls(
            vocabulary=_size(config, "vocab_size"),
            hidden=hidden,
            intermediate=_size(config, "intermediate_size"),
            layers=_size(config, "num_hidden_layers"),
            query=heads * head_size,
            key_value=_size(config, "num_key_value_heads", heads) * head_size,
            tied=config.get("tie_word_embeddings", False) is True,
        )

    @property
    def linear_layers(self) -> tuple[tuple[int, int], ...]:
        """Input and output size of q, k, v, o, gate, up and down: what LoRA adapts in each layer."""
        return (
            (self.hidden, self.query),
            (self.hidden, self.key_value),
            (self.hidden, self.key_value),
            (self.query, self.hidden),
            (self.hidden, self.intermediate),
            (self.hidden, self.intermediate),
            (self.intermediate, self.hidden),
        )


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What one training will take."""

    num_parameters: int
    """Parameters of the base model."""
    num_trained_parameters: int
    """Parameters that the method trains: all of them, or the adapter's."""
    state_bytes: int
    """Memory for weights, gradients and optimiser states, over all processes; activations come on top."""
    num_steps: int

    def min_gpus(self, gpu_gibibytes: float) -> int:
        """Count the GPUs of this size that hold the states under ZeRO-3, without room for activations."""
        return int(-(-self.state_bytes // int(gpu_gibibytes * GIBIBYTE)))


def plan_training(config: TrainConfig, model: Mapping[str, object], *, num_chunks: int) -> TrainingPlan:
    """Work out what a training will take.

    Args:
        config: How to train.
        model: Content of the base model's config.json.
        num_chunks: Chunks of the packed data.

    Raises:
        DataError: If the config.json does not say how large the model is.
    """
    shapes = Shapes.read(model)
    total = count_parameters(shapes)
    trained = total if config.method == "full" else count_lora_parameters(shapes, rank=config.lora.rank)
    frozen_bytes = 0 if config.method == "full" else total * _BYTES_PER_NUMBER[config.precision]
    state_bytes = frozen_bytes + trained * BYTES_PER_TRAINED_PARAMETER
    return TrainingPlan(total, trained, state_bytes, count_steps(num_chunks, config))


def count_parameters(shapes: Shapes) -> int:
    """Count a Llama model's parameters: embedding, layers of linear layers and two norms, last norm, output layer."""
    per_layer = sum(inputs * outputs for inputs, outputs in shapes.linear_layers) + 2 * shapes.hidden
    embeddings = shapes.vocabulary * shapes.hidden * (1 if shapes.tied else 2)
    return embeddings + shapes.layers * per_layer + shapes.hidden


def count_lora_parameters(shapes: Shapes, *, rank: int) -> int:
    """Count an adapter's parameters: each linear layer gets a matrix (rank, inputs) and one (outputs, rank)."""
    return shapes.layers * sum(rank * (inputs + outputs) for inputs, outputs in shapes.linear_layers)


def _size(config: Mapping[str, object], name: str, default: int | None = None) -> int:
    value = config.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, int) or value < 1:
        raise DataError(f"the base model's config.json says {name}: {value!r}; expected a whole number above 0")
    return value
