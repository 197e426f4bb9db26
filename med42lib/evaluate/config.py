"""Settings of `evaluate`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from med42lib.core.config import SPEED_ONLY, CountOrAll, StageConfig, renamed_from
from med42lib.formats.models import Precision
from med42lib.formats.prompt import DEFAULT_SYSTEM, MultipleChoice
from med42lib.formats.scores import Normalise
from med42lib.formats.shards import MOST_SHARDS

Prompt = Literal["med42", "plain"]


class BenchmarkScoring(StageConfig):
    """How a benchmark's answers are compared."""

    scoring: MultipleChoice
    """`letters`: the options are shown, lettered, and the letters are scored, as lm-eval does for MedQA, MedMCQA
    and MMLU. `texts`: the options are hidden and their whole texts are scored, as lm-eval does for HeadQA and
    PubMedQA, with `normalise: none`. Letters and texts are not comparable."""

    normalise: Normalise = "bytes"
    """What an option's log-likelihood is divided by before the highest wins: nothing, so that short options have
    an advantage (lm-eval's `acc`), its characters (`acc_norm`) or its UTF-8 bytes (`acc_bytes`). Without effect
    on letters, which are one byte each."""


class AskingConfig(BenchmarkScoring):
    """How models are asked; its own `scoring` and `normalise` hold for every benchmark not in `benchmarks`."""

    benchmarks: dict[str, BenchmarkScoring] = Field(default_factory=dict)
    """Benchmarks that are scored in another way, by name."""

    limit: CountOrAll = Field(default="all", json_schema_extra=renamed_from("items_per_benchmark"))
    """Items of each benchmark that are scored, at most. They are chosen by a keyed hash of their ids, so that every
    model gets the same ones, and a larger limit keeps the same items and more."""

    prompt: Prompt = "med42"
    """`med42`: the format the models are trained on. `plain`: the very prompt of lm-eval's own task for each benchmark,
    and MedQA's where it has none, to compare with figures published elsewhere. Comparable they are with lm-eval's
    `scoring` and `normalise` alone: a warning names the benchmarks that are scored in another way. What else differs
    stands in `med42lib/benchmarks/families/README.md`."""

    system: str = DEFAULT_SYSTEM
    """The system text of the `med42` prompt: that of the training data. Empty: no system line."""

    batch_size: Annotated[int, SPEED_ONLY] = Field(default=8, ge=1)
    """Sequences per forward pass. Bounds memory (logits take `4 * batch_size * tokens * vocabulary` bytes, twice);
    changes log-likelihoods by rounding only. GPUs want more; on CPUs 1 to 4 is fastest for a model of 100M parameters,
    32 for one of 2M."""

    precision: Precision = "float32"
    """Number format of the weights while scoring. V100 GPUs have no bfloat16; CPUs are fast in float32 only. bfloat16
    has steps so wide, 0.06 where a logit is near 10 and 0.125 near 20, that the likeliest letters can tie: the first of
    them counts, and the report says of how many questions."""

    def scoring_of(self, benchmark: str) -> BenchmarkScoring:
        """Say how one benchmark is scored."""
        return self.benchmarks.get(benchmark, self)


class EvaluateConfig(AskingConfig):
    """Settings of `evaluate`."""

    shards: Annotated[int, SPEED_ONLY] = Field(default=1, ge=1, le=MOST_SHARDS)
    """Tasks that answer the questions of one model side by side, each its share, before `evaluate` marks them: as many
    for each model and for the base. The scores are the same for every number; with 1 there is no such task, and
    `evaluate` answers by itself. Each task loads the model, and on a cluster gets the GPU that `--pods` gives to
    `answer_questions`. On one machine, which runs one task after the other, 1 is best."""
