"""The sizes of a Llama-style model and what follows from them alone: how many parameters it has.

Other kinds than those of `_EXACT` are counted as if they were a Llama, but for what the tables here know of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from med42lib.core.errors import DataError
from med42lib.formats.model_config import has_experts
from med42lib.train.attention_choice import AttentionKind


@dataclass(frozen=True, slots=True)
class _Vectors:
    """What each layer of a kind has beside its matrices."""

    norms: int = 2
    """As long as the hidden size."""
    head_norms: int = 0
    """As long as a head: of queries and of keys."""
    biases: bool = False
    """Of queries, keys and values."""


_EXACT = {
    "llama": _Vectors(),
    "mistral": _Vectors(),
    "granite": _Vectors(),
    "qwen2": _Vectors(biases=True),
    "qwen3": _Vectors(head_norms=2),
    "gemma": _Vectors(),
    "gemma2": _Vectors(norms=4),
    "gemma3_text": _Vectors(norms=4, head_norms=2),
}
"""By `model_type`: kinds of which every parameter is counted, held against transformers in a test, as all here is."""

_MEASURED = {"llama", "mistral", "granite", "qwen2"}
"""Kinds whose forward pass keeps what a Llama's does; the others above keep more. Gemma 2 has no `sdpa`."""

_TWO_MATRICES = {
    *("apertus", "arcee", "biogpt", "gpt_neox", "jais2", "nanochat", "nemotron"),
    *("persimmon", "phi", "starcoder2"),
}
"""Kinds whose MLP has no gate."""

_TIED = {
    *("biogpt", "cohere", "cohere2", "ernie4_5", "gemma", "gemma2", "gemma3_text", "gemma4_text"),
    *("gemma4_unified_text", "granite_swa", "lfm2", "lfm3", "minicpm3", "modernbert-decoder"),
    *("recurrent_gemma", "smollm3", "starcoder2", "vaultgemma", "xmod", "youtu", "zamba", "zamba2"),
}
"""Kinds whose output layer is the embedding where their config.json does not say; Gemma's never does."""

_OPTIONAL_BIASES = ("attention_bias", "mlp_bias")


def is_tied(config: Mapping[str, object]) -> bool:
    """Say whether the output layer is the embedding, by the content of a config.json."""
    stated = config.get("tie_word_embeddings")
    return config.get("model_type") in _TIED if stated is None else stated is True


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
    gated: bool
    """Whether an MLP has three matrices, of which one is the gate, or two."""
    layer_vectors: int
    """Parameters of a layer beside its matrices: norms, and biases."""
    attention: AttentionKind
    exact: bool
    """False means that some parameters may be missing, or counted that are not there."""
    measured: bool
    """Whether activations are planned as they were measured; where only parameters are exact they take more."""

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
        query, key_value = heads * head_size, _size(config, "num_key_value_heads", heads) * head_size
        kind = str(config.get("model_type") or "llama")
        has = _EXACT.get(kind, _Vectors())
        exact = kind in _EXACT and not any(map(config.get, _OPTIONAL_BIASES))
        return cls(
            vocabulary=_size(config, "vocab_size"),
            hidden=hidden,
            intermediate=_size(config, "intermediate_size"),
            layers=_size(config, "num_hidden_layers"),
            heads=heads,
            query=query,
            key_value=key_value,
            tied=is_tied(config),
            gated=kind not in _TWO_MATRICES,
            layer_vectors=has.norms * hidden + has.head_norms * head_size + has.biases * (query + 2 * key_value),
            attention=AttentionKind.read(config),
            exact=exact,
            measured=exact and kind in _MEASURED,
        )

    @property
    def linear_layers(self) -> tuple[tuple[int, int], ...]:
        """Input and output size of q, k, v, o, gate if there is one, up and down: what LoRA adapts in each layer."""
        return (
            (self.hidden, self.query),
            (self.hidden, self.key_value),
            (self.hidden, self.key_value),
            (self.query, self.hidden),
            *[(self.hidden, self.intermediate)] * (2 if self.gated else 1),
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
    """Count a model's parameters: embedding, layers of linear layers, norms and biases, last norm, output layer."""
    embeddings = shapes.output_layer * (1 if shapes.tied else 2)
    return embeddings + linear_weights(shapes) + shapes.layers * shapes.layer_vectors + shapes.hidden


def count_lora_parameters(shapes: Shapes, *, rank: int) -> int:
    """Count an adapter's parameters: each linear layer gets a matrix (rank, inputs) and one (outputs, rank)."""
    return shapes.layers * sum(rank * (inputs + outputs) for inputs, outputs in shapes.linear_layers)


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
