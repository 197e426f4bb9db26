"""The sizes of a Llama-style model and what follows from them alone: parameters, and arithmetic per token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from med42lib.core.errors import DataError
from med42lib.formats.model_config import has_experts


@dataclass(frozen=True, slots=True)
class Shapes:
    """The sizes in a Llama-style config.json that decide how many parameters there are."""

    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
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
            DataError: If a size is missing or is not a whole number, or it is a mixture of experts.
        """
        if has_experts(config):
            raise DataError("the base model is a mixture of experts, whose size and work are not known here")
        heads = _size(config, "num_attention_heads")
        hidden = _size(config, "hidden_size")
        head_size = _size(config, "head_dim", hidden // heads)
        return cls(
            vocabulary=_size(config, "vocab_size"),
            hidden=hidden,
            intermediate=_size(config, "intermediate_size"),
            layers=_size(config, "num_hidden_layers"),
            heads=heads,
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

    @property
    def output_layer(self) -> int:
        """Weights of the output layer, and of the embedding: the largest matrix there is."""
        return self.vocabulary * self.hidden

    @property
    def largest_rank(self) -> int:
        """The rank that no adapter of a linear layer can use more of."""
        return min(min(sizes) for sizes in self.linear_layers)


def count_parameters(shapes: Shapes) -> int:
    """Count a Llama model's parameters: embedding, layers of linear layers and two norms, last norm, output layer."""
    embeddings = shapes.output_layer * (1 if shapes.tied else 2)
    return embeddings + linear_weights(shapes) + (2 * shapes.layers + 1) * shapes.hidden


def count_lora_parameters(shapes: Shapes, *, rank: int) -> int:
    """Count an adapter's parameters: each linear layer gets a matrix (rank, inputs) and one (outputs, rank)."""
    return shapes.layers * sum(rank * (inputs + outputs) for inputs, outputs in shapes.linear_layers)


def flops_per_token(shapes: Shapes, *, lora_rank: int | None, span: float) -> float:
    """Count the floating-point operations that training needs for one token; what is computed twice counts once.

    2 for each weight forwards, 2 backwards for the layer's input, and 2 for the weight itself if it is trained; the
    same of each pair of positions in attention (Kaplan et al. 2020, "Scaling Laws for Neural Language Models",
    table 1).

    Args:
        shapes: Of the model.
        lora_rank: Of the adapter that alone is trained; None if all weights are.
        span: Positions that a token may look back over, from the first to the last token of a sample or a chunk; on
            average a token sees half of them.
    """
    weights = linear_weights(shapes) + shapes.output_layer
    attention = shapes.layers * 2 * shapes.query * span / 2
    if lora_rank is None:
        return 6 * (weights + attention)
    return 4 * weights + 6 * (attention + count_lora_parameters(shapes, rank=lora_rank))


def linear_weights(shapes: Shapes) -> int:
    """Count the weights of all linear layers but the output layer."""
    return shapes.layers * sum(inputs * outputs for inputs, outputs in shapes.linear_layers)


def _size(config: Mapping[str, object], name: str, default: int | None = None) -> int:
    value = config.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, int) or value < 1:
        raise DataError(f"the base model's config.json says {name}: {value!r}; expected a whole number above 0")
    return value
