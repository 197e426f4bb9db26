"""`load_best_model_at_end`, where the validation loss falls and then rises: real DeepSpeed, and torchrun."""

from pathlib import Path

import numpy as np
import pytest

from med42lib.formats.packed import TOKENS_FILE
from med42lib.formats.recipe import RECIPE_FILE, Recipe
from med42lib.store.manifest import METRICS_FILE, describe_folder
from med42lib.train.job import TrainingJob
from tests.processes import wait_for
from tests.train.attempts import Attempts, kill
from tests.train.conftest import FULL, job_of, output_of, read_metric, train_alone, write_packed

NUM_STEPS = 12
# One learning rate from the first step to the last, so that a training of fewer steps is the beginning of a longer one.
SETTINGS = {"learning_rate": 3e-2, "warmup_steps": 0, "min_lr_ratio": 1.0, "global_batch_size": 6, "epochs": 6}
LAST = FULL.model_copy(update={**SETTINGS, "checkpoint_minutes": 0})
BEST = LAST.model_copy(update={"load_best_model_at_end": True})
VARIANTS: dict[str, dict[str, object]] = {
    "zero 1": {"zero_stage": 1},
    "zero 2, bfloat16": {"zero_stage": 2, "precision": "bfloat16"},
    "zero 3": {"zero_stage": 3},
    "lora zero 1": {"method": "lora", "zero_stage": 1},
    "lora zero 3": {"method": "lora", "zero_stage": 3},
}


@pytest.fixture(scope="module")
def few_words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Chunks of eight words alone: a model learns which they are, and then the chunks by heart."""
    folder = tmp_path_factory.mktemp("few_words")
    write_packed(folder, num_chunks=9, num_validation_chunks=3)
    tokens = np.fromfile(folder / TOKENS_FILE, np.uint16)
    (3 + tokens % 8).astype(np.uint16).tofile(folder / TOKENS_FILE)
    return folder


def best_step(trained: Path) -> int:
    """Read the step of a model, and make sure that the validation loss fell until then, and was higher at the end."""
    losses = read_metric(trained, "validation_loss")
    step = Recipe.read(trained / RECIPE_FILE).best_step
    assert step is not None
    assert losses[step // 2] == min(losses) < losses[0], "measured before the first step, and after every second one"
    assert losses[-1] > min(losses)
    return step


def model_files(trained: Path) -> dict[str, str]:
    own = {METRICS_FILE, RECIPE_FILE}
    return {entry.path: entry.sha256 for entry in describe_folder(trained) if entry.path not in own}


@pytest.fixture(scope="module")
def undisturbed(base_model: Path, few_words: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int]:
    """The digest of a training that nothing happens to, and the step that its model is of."""
    folder = tmp_path_factory.mktemp("undisturbed")
    attempts = Attempts(few_words, base_model, str(folder / "store"), folder, BEST)
    digest, said = attempts.finish(checkpoint_minutes=30)
    [trained] = (folder / "store/train/k").glob("*/trained")
    step = best_step(trained)
    assert f"the model is of step {step}, after which the validation loss was lowest" in said
    assert next(attempts.checkpoints.complete()).step == step, "none was due but the best"
    return digest, step


@pytest.mark.slow
def test_a_training_killed_after_its_best_step_gives_what_an_undisturbed_one_gives(
    undisturbed: tuple[str, int], base_model: Path, few_words: Path, tmp_path: Path
) -> None:
    undisturbed_digest, step = undisturbed
    attempts = Attempts(few_words, base_model, str(tmp_path / "store"), tmp_path, BEST)
    killed = attempts.start()
    wait_for(attempts.saved_after(step + 2), seconds=240)
    kill(killed)
    *newer, best = attempts.checkpoints.complete()
    assert (len(newer), best.step) == (2, step), "one more than else is kept"
    digest, said = attempts.finish()
    assert digest == undisturbed_digest
    assert f"goes on after step {newer[0].step}, from {newer[0].address}" in said
    assert f"ends with the model of the lowest validation loss, step {step}, from {best.address}" in said


@pytest.fixture(scope="module")
def trained(base_model: Path, few_words: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Of each variant the output of the best model, and that of a training that ends with its step."""
    folder = tmp_path_factory.mktemp("variants")

    def outputs(jobs: dict[str, TrainingJob]) -> dict[str, Path]:
        for job in jobs.values():
            job.write()
        train_alone(list(jobs.values()), folder)
        return {name: output_of(job) for name, job in jobs.items()}

    def job(name: str, **settings: object) -> TrainingJob:
        config = LAST.model_copy(update={**VARIANTS[name], **settings})
        return job_of(config, few_words, base_model, folder / "store", key=f"{name}, {len(settings)}")

    best = outputs({name: job(name, load_best_model_at_end=True, checkpoint_minutes=30) for name in VARIANTS})
    short = outputs({name: job(name, max_steps=best_step(output)) for name, output in best.items()})
    return {name: [best[name], short[name]] for name in VARIANTS}


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_the_model_is_that_of_the_step_of_the_lowest_validation_loss(trained: dict[str, list[Path]], name: str) -> None:
    best, short = trained[name]
    assert model_files(best) == model_files(short)
    assert len(read_metric(best, "loss")) == NUM_STEPS, "those of the steps after it are among the metrics too"
    assert "best_step" not in (short / RECIPE_FILE).read_text()
