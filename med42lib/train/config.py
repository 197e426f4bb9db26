"""Settings of `train`. Defaults that are the paper's: Med42 (2024), section "Hyperparameters"."""

from __future__ import annotations

from collections.abc import Set
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from med42lib.core.config import SPEED_ONLY, StageConfig, renamed_from
from med42lib.formats.models import Precision

Method = Literal["full", "lora", "qlora"]
ZeroStage = Literal[1, 2, 3]


class LoraConfig(StageConfig):
    """A low-rank adapter on every linear layer but the output layer (paper, section "LoRA")."""

    rank: int = Field(default=8, ge=1)
    """r: inner dimension of the adapter's two matrices. Paper: 8."""

    alpha: float = Field(default=16, gt=0)
    """The adapter's output is scaled by alpha / rank. Paper: 16."""

    layers: Literal["all", "outside_experts"] = "all"
    """Which linear layers get an adapter. `all`: every one but the output layer, a mixture's experts and routers too;
    refused where PEFT cannot. `outside_experts`: neither experts and routers nor what PEFT cannot tell from them. What
    is left out stands in the log and in `recipe.json`. Paper: all."""

    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the adapter's inputs set to zero while training. The paper names none."""


class TrainConfig(StageConfig):
    """Settings of a fine-tune.

    How many processes train is not decided here: see the environment variable MED42_PROCESSES_PER_NODE.
    """

    method: Method
    """`full` trains every parameter, `lora` an adapter on top of the unchanged base model; `qlora` is `lora` with the
    base in four bits while it trains (`med42lib.train.four_bit`), for GPUs that cannot hold it otherwise."""

    learning_rate: float = Field(gt=0)
    """Peak learning rate. Paper: 5e-5 full, 1e-4 LoRA."""

    warmup_steps: int = Field(ge=0)
    """Optimiser steps of linear warm-up. Paper: 100."""

    epochs: int = Field(ge=1)
    """Passes over all chunks. Paper: 3 full, 8 LoRA."""

    global_batch_size: int = Field(ge=1, json_schema_extra=renamed_from("chunks_per_step"))
    """Chunks of `chunk_length` tokens per optimiser step, across all processes; a multiple of processes times
    `micro_batch_size`."""

    seed: int = Field(ge=0)
    """Decides the order of the chunks and the adapter's initial values."""

    max_steps: int | None = Field(default=None, ge=1)
    """Stop after this many optimiser steps, the schedule laid over these alone; null trains all epochs."""

    micro_batch_size: int = Field(default=1, ge=1, json_schema_extra=renamed_from("chunks_per_forward"))
    """Chunks of `chunk_length` tokens per process per forward pass; decides memory and speed, and the result only by
    rounding."""

    lora: LoraConfig = LoraConfig()
    """The adapter; read with methods `lora` and `qlora`."""

    adam_beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of AdamW's mean of gradients. Paper: 0.9."""

    adam_beta2: float = Field(default=0.95, ge=0, lt=1)
    """Decay of AdamW's mean of squared gradients. Paper: 0.95."""

    adam_epsilon: float = Field(default=1e-8, gt=0)
    """Added to AdamW's denominator. The paper names none; this is PyTorch's."""

    weight_decay: float = Field(default=0.1, ge=0)
    """Decoupled weight decay of all matrices; vectors (norms, biases) are not decayed. Paper: 0.1."""

    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients whose overall norm is larger are scaled down to it. Paper: 1.0."""

    min_lr_ratio: float = Field(default=0.1, ge=0, le=1, json_schema_extra=renamed_from("final_learning_rate_share"))
    """Learning rate of the last step, as a share of the peak. Paper: 0.1."""

    precision: Precision = "float32"
    """Number format of weights and arithmetic; the optimiser's copy is float32 always. V100s lack bfloat16."""

    attention: Literal["auto", "sdpa"] = "auto"
    """`auto` computes attention inside samples alone where model and hardware allow it (`med42lib.train.attention`),
    else as `sdpa` does: over whole chunks, what is across samples masked. Decides speed, and the result by rounding."""

    zero_stage: ZeroStage | Literal["auto"] = "auto"
    """DeepSpeed ZeRO: what is split between processes; 1 optimiser states, 2 gradients too, 3 weights too. `auto` takes
    the first of these that memory has room for, on the machines that train; it decides the result by rounding alone."""

    checkpoint_minutes: Annotated[float, SPEED_ONLY] = Field(default=30, ge=0)
    """Minutes between two checkpoints, from which a killed training goes on; 0 saves after every step. Least time is
    lost with the square root of 2 * (minutes that training waits for one) * (minutes between two failures): Young
    (1974). 30 is that of a second, for 6 GiB per process, and of 16 days: Llama 3's failures, on 128 GPUs."""

    validation_steps: Annotated[int | None, SPEED_ONLY] = Field(default=None, ge=1)
    """Optimiser steps between two measurements of the loss on what `pack.validation_share` holds out; null measures
    after every epoch. Before the first step and after the last one it is measured always. With `load_best_model_at_end`
    it decides the result. Without it:"""

    load_best_model_at_end: bool = False
    """Give the model as it was when its loss on what `pack.validation_share` holds out was lowest, of all steps after
    which that was measured, instead of as it is after the last step. One more checkpoint is kept for it. Paper: the
    last."""

    gradient_checkpointing: Annotated[bool | Literal["auto"], SPEED_ONLY] = "auto"
    """Recompute each layer in the backward pass instead of keeping its activations: less memory, a third slower. `auto`
    does where memory lacks room for them, and for kinds of models that keep more than is worked out."""

    @field_validator("zero_stage")
    @classmethod
    def _can_be_split(cls, value: object, info: ValidationInfo) -> object:
        if value == 3 and info.data.get("method") == "qlora":
            raise ValueError("must be 1, 2 or auto with method qlora, whose base in four bits is not split")
        return value

    def outside_key(self) -> Set[str]:
        """Name the settings that cannot change the result: which steps are measured can where the best one is it."""
        return super().outside_key() - ({"validation_steps"} if self.load_best_model_at_end else set())

    @property
    def has_adapter(self) -> bool:
        """Whether the base stays as it is, and an adapter is trained."""
        return self.method != "full"


class ResolvedConfig(TrainConfig):
    """Settings of a fine-tune on known machines: nothing is `auto` any more (`med42lib.train.memory_choice`)."""

    zero_stage: ZeroStage
    """What is split between processes."""

    gradient_checkpointing: Annotated[bool, SPEED_ONLY]
    """Whether layers are computed again in the backward pass."""
