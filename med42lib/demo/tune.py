"""Choose the demo's learning rates on its validation questions: `python -m med42lib.demo.tune SPEC [STORE]`.

Runs the real stages with the settings of the spec (`pipelines/specs/demo.yaml`), each rate in turn, and scores the
result on `data/validation`, which holds no benchmark question and no fact that a benchmark question asks for.
What is in the store (default `runs/tune`) already is not done again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from med42lib.catalogue import STAGES
from med42lib.core.config import StageConfig
from med42lib.core.log import log, set_up_logging
from med42lib.engine.runner import Request, run_stage
from med42lib.spec import RunSpec, load_spec
from med42lib.store.artifacts import Source
from med42lib.train.config import TrainConfig

VALIDATION_DATA = "package:med42lib/demo/data/validation"
VALIDATION_PATH = "medqa/phrases_no_exclude_test.jsonl"
RATES = {"full": (1e-3, 2e-3, 4e-3), "lora": (4e-3, 8e-3, 1.6e-2)}


@dataclass(frozen=True, slots=True)
class Trial:
    """Accuracy [0, 1] on the validation questions after training with a peak learning rate."""

    method: str
    learning_rate: float
    accuracy: float


def tune(spec: RunSpec, store: str) -> Iterator[Trial]:
    """Try every rate of `RATES`; the base model, untrained, comes first with rate 0."""

    def run(stage: str, config: StageConfig, **sources: str) -> dict[str, str]:
        return run_stage(STAGES[stage], Request(config.model_dump(mode="json"), store, sources)).targets

    base = run("fetch_model", spec.fetch_model, weights=spec.inputs.base_model)["model"]
    dataset = run("assemble", spec.assemble, data=spec.inputs.training_data)["dataset"]
    packed = run("pack", spec.pack, dataset=dataset, model=base)["packed"]
    questions = spec.benchmarks.model_validate({"include": {"medqa": {"path": VALIDATION_PATH}}})
    items = run("benchmarks", questions, data=VALIDATION_DATA)["items"]

    def accuracy(model: str) -> float:
        scores = Source(run("evaluate", spec.evaluate, items=items, base=base, model=model)["scores"])
        return float(json.loads(scores.path("summary.json").read_text())["medqa"]["accuracy"])

    yield Trial("base", 0.0, accuracy(base))
    for config in spec.train.values():
        for rate in RATES[config.method]:
            trained = run("train", _with_rate(config, rate), packed=packed, model=base)["trained"]
            yield Trial(config.method, rate, accuracy(trained))


def _with_rate(config: TrainConfig, rate: float) -> TrainConfig:
    return config.model_copy(update={"learning_rate": rate})


def main(spec_file: str, store: str = "runs/tune") -> None:
    """Print each trial as it ends, and the best rate of each method last."""
    trials = []
    for trial in tune(load_spec(Path(spec_file)), store):
        log("tune").info("%s at %g: %.1f %%", trial.method, trial.learning_rate, 100 * trial.accuracy)
        trials.append(trial)
    for method in RATES:
        best = max((trial for trial in trials if trial.method == method), key=lambda trial: trial.accuracy)
        log("tune").info("best for %s: %g, %.1f %% right", method, best.learning_rate, 100 * best.accuracy)


if __name__ == "__main__":
    set_up_logging()
    main(*sys.argv[1:])
