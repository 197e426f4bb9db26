"""Whether attention goes sample by sample (`med42lib.train.attention`), or takes a mask over all pairs of slots.

Training processes ask for the hardware that they are on, plans for the one that is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from med42lib.train.config import TrainConfig

if TYPE_CHECKING:
    from med42lib.formats.packed import Policy

Hardware = Literal["cpu", "ampere", "older"]
"""`ampere`: GPUs of that generation or a later one, with a torch that has the kernel; `older`: any other GPU."""

_CAUSAL = {"llama", "mistral", "qwen2", "qwen3"}
"""Kinds whose attention is causal and has at most a window, unless dropout is set."""

_EAGER = {"gemma2"}

_LARGEST_HEAD, _HEAD_STEP = 256, 8
"""Numbers of a head that torch's kernel takes: so many at most, and multiples of so many."""


@dataclass(frozen=True, slots=True)
class AttentionKind:
    """What of a model's attention decides how it is computed."""

    is_causal: bool
    """Whether it is causal and nothing else, but for a window."""
    suits_kernel: bool
    is_eager: bool
    """Whether transformers computes it for all pairs of a chunk's slots at once, since torch's has no softcapping."""
    window: int | None
    """Slots that a token sees, itself among them; None: all before it."""

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> AttentionKind:
        """Read it from the content of a config.json, whose sizes are known to be numbers."""
        is_causal = config.get("model_type", "llama") in _CAUSAL and not config.get("attention_dropout")
        window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
        return cls(
            is_causal=is_causal,
            suits_kernel=is_causal and _suits_kernel(config),
            is_eager=config.get("model_type") in _EAGER,
            window=window if isinstance(window, int) else None,
        )

    def goes_by_samples(self, config: TrainConfig, hardware: Hardware) -> bool:
        """Say whether the pairs inside samples alone are computed, without a mask."""
        if config.attention != "auto" or not self.is_causal:
            return False
        return hardware == "cpu" or (hardware == "ampere" and config.precision != "float32" and self.suits_kernel)

    def takes_mask(self, config: TrainConfig, hardware: Hardware, *, chunk_length: int, policy: Policy) -> bool:
        """Say whether a mask over all pairs is made: for samples, or for a window, which transformers makes one for."""
        windowed = self.window is not None and self.window <= chunk_length
        return not self.goes_by_samples(config, hardware) and (policy == "best_fit" or windowed)


def _suits_kernel(config: Mapping[str, Any]) -> bool:
    head: int = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    return head <= _LARGEST_HEAD and head % _HEAD_STEP == 0
