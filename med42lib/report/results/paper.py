"""The paper's recipe as facts: Med42, AAAI 2024 Spring Symposium, section "Hyperparameters" and Table A1."""

from __future__ import annotations

from dataclasses import dataclass

from med42lib.report.formatting import integer

NOT_STATED = "not stated"
"""What the paper leaves open; nothing can depart from it."""


@dataclass(frozen=True, slots=True)
class PaperSetting:
    """One setting of the recipe for each method; None where it does not apply.

    `path` is where the stage's own settings hold it, with dots between nested names.
    """

    label: str
    path: str
    full: object
    lora: object


TRAIN_SETTINGS = (
    PaperSetting("Peak learning rate", "learning_rate", 5e-5, 1e-4),
    PaperSetting("Warm-up steps", "warmup_steps", 100, 100),
    PaperSetting("Epochs", "epochs", 3, 8),
    PaperSetting("Limit of steps", "max_steps", "none", "none"),
    PaperSetting("Minimum learning rate / peak", "min_lr_ratio", 0.1, 0.1),
    PaperSetting("Global batch size, chunks", "global_batch_size", NOT_STATED, NOT_STATED),
    PaperSetting("AdamW β₁", "adam_beta1", 0.9, 0.9),
    PaperSetting("AdamW β₂", "adam_beta2", 0.95, 0.95),
    PaperSetting("AdamW ε", "adam_epsilon", NOT_STATED, NOT_STATED),
    PaperSetting("Weight decay", "weight_decay", 0.1, 0.1),
    PaperSetting("Gradient clipping", "max_grad_norm", 1.0, 1.0),
    PaperSetting("Number format", "precision", NOT_STATED, NOT_STATED),
    PaperSetting("LoRA r", "lora.rank", None, 8),
    PaperSetting("LoRA α", "lora.alpha", None, 16),
    PaperSetting("LoRA dropout", "lora.dropout", None, NOT_STATED),
)

DECONTAMINATE_SETTINGS = (
    PaperSetting("Leaked above cosine", "threshold", 0.8, 0.8),
    PaperSetting("Generic stems", "generic_stems", "count_as_leaks", "count_as_leaks"),
    PaperSetting("What follows from a leak", "action", "flag", "flag"),
)

PACK_SETTINGS = (
    PaperSetting("Packing", "policy", "concatenate", "concatenate"),
    PaperSetting("Tokens per chunk", "chunk_length", 4096, 4096),
)

BASE_MODELS = {6_738_415_616: "Llama-2 7B", 68_976_648_192: "Llama-2 70B"}
"""The paper's base models, by their number of parameters."""

LINEAR_LAYERS = frozenset({"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"})
"""The layers of a Llama block that "every linear layer" names."""


def base_by_size(num_parameters: int | None) -> str:
    """Name a base model that the paper has; another one by its size."""
    return BASE_MODELS.get(num_parameters or 0, f"a model of {integer(num_parameters)} parameters")
