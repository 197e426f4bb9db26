"""Model FLOPs utilisation: what share of its GPUs' arithmetic a training uses.

    MFU = FLOPs of a step / (seconds of the step * GPUs * peak FLOP/s of one)

The FLOPs are those that the result needs, as in PaLM (Chowdhery et al. 2022, appendix B): recomputed activations do not
count, and the half of attention that causality masks does.

    6 * W * tokens + 6 * H * response tokens + 12 * layers * heads * head size * pairs

W: weights that every token meets, all but the embeddings. H: the output layer, which is asked about response tokens
alone. A frozen weight costs 4 instead of 6: it gets no gradient. Pairs: the sum over samples of their squared lengths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from med42lib.formats.model_config import has_experts
from med42lib.train.shapes import Shapes, count_lora_parameters, is_tied, linear_weights

_TERA = 10**12
_SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
_HALF_AND_SINGLE = {
    "V100 SXM2": (125, 15.7),
    "V100 SXM3": (125, 15.7),
    "V100 PCIE": (112, 14),
    "A100": (312, 19.5),
    "A10": (125, 31.2),
    "L4": (121, 30.3),
    "L40S": (362, 91.6),
    "H100 PCIe": (756, 51),
    "H100 NVL": (835, 60),
    "H100": (989, 67),
    "H200": (989, 67),
    "B200": (2250, 75),
}
"""Peak TFLOP/s without sparsity, from NVIDIA's data sheets: of 16-bit formats, and of float32 without TF32, as PyTorch
multiplies by default. Of several entries whose words a GPU's name has, the first counts."""


@dataclass(frozen=True, slots=True)
class ModelFlops:
    """What decides a model's FLOPs: numbers of weights, and of its attention."""

    weights: int
    """Base weights that every token meets."""
    output_weights: int
    """Weights of the output layer."""
    adapter_weights: int
    """Weights of the adapter; above 0, the base's are frozen."""
    attention: int
    """Layers times heads times head size."""

    @classmethod
    def of_shapes(cls, shapes: Shapes, *, lora_rank: int | None) -> ModelFlops:
        """Work them out before there is a model; norms and biases are left out.

        Args:
            shapes: Of the base model.
            lora_rank: Of the adapter that alone is trained; None if all weights are.
        """
        adapter = 0 if lora_rank is None else count_lora_parameters(shapes, rank=lora_rank)
        return cls(linear_weights(shapes), shapes.output_layer, adapter, shapes.layers * shapes.query)

    def of_step(self, *, num_tokens: float, num_response_tokens: float, num_pairs: float) -> float:
        """Count the FLOPs of forward and backward passes over so many tokens."""
        per_weight = 4 if self.adapter_weights else 6
        base = per_weight * (self.weights * num_tokens + self.output_weights * num_response_tokens)
        return base + 6 * self.adapter_weights * num_tokens + 12 * self.attention * num_pairs


def model_flops(model_config: Mapping[str, Any], *, parameters: int, adapter_parameters: int) -> ModelFlops | None:
    """Work out what decides a model's FLOPs.

    None for a mixture of experts, where a token meets some weights only, and where sizes have other names.

    Args:
        model_config: Content of its config.json.
        parameters: Of the base model.
        adapter_parameters: Of the adapter; 0 if there is none.
    """
    if has_experts(model_config) or not all(map(model_config.get, _SIZES)):
        return None
    vocabulary, hidden, layers, heads = (int(model_config[name]) for name in _SIZES)
    embedding = vocabulary * hidden
    embeddings = embedding if is_tied(model_config) else 2 * embedding
    attention = layers * heads * int(model_config.get("head_dim") or hidden // heads)
    return ModelFlops(parameters - embeddings, embedding, adapter_parameters, attention)


def peak_flops(gpu: str, precision: str) -> float | None:
    """Give a GPU's peak FLOP/s in a number format; None if its name is not known."""
    words = set(gpu.replace("-", " ").split())
    for name, (half, single) in _HALF_AND_SINGLE.items():
        if set(name.split()) <= words:
            return _TERA * (single if precision == "float32" else half)
    return None
