"""The stage `train`: the driver, which checks, launches, waits, and counts what was trained as its output."""

from __future__ import annotations

from contextlib import suppress

from med42lib.core.errors import STORE_REFUSALS, ConfigError, DataError, DivergedError
from med42lib.core.log import log
from med42lib.engine.context import StageContext
from med42lib.formats.packed import INFO_FILE, PackInfo
from med42lib.formats.recipe import RECIPE_FILE, Recipe
from med42lib.store.address import absolute_address
from med42lib.store.artifacts import Source, Target
from med42lib.store.base import HUB_SCHEME
from med42lib.store.checkpoints import Checkpoints
from med42lib.train.config import TrainConfig
from med42lib.train.fit import check_held_out, count_steps, fit_problems
from med42lib.train.job import TrainingJob
from med42lib.train.launchers.launcher import open_launcher


def train(config: TrainConfig, *, packed: Source, model: Source, trained: Target, context: StageContext) -> None:
    """Fine-tune the base model on packed chunks.

    Args:
        config: How to train.
        packed: Output of `pack`.
        model: Output of `fetch_model`.
        trained: Gets a whole model (`model/`, loadable by mlflow) or an adapter (`peft/`), `recipe.json`, and the
            metrics of every step (`worker/step_metrics.py`).
        context: The attempt, which the training processes put those files into, and the checkpoints, from which they
            go on where a killed attempt was. Asked to stop, they save one more and end.

    Raises:
        ConfigError: If the settings do not fit the data or the number of processes.
        DataError: If no token of the data has a loss, or none held out where `load_best_model_at_end` goes by it.
        EnvironmentProblem: If this machine or cluster lacks what the settings ask for.
        ClusterUnavailable: If the cluster that trains is out of reach.
        DivergedError: If the loss is no longer a number; the last checkpoint before that is named.
        NoProgressError: If training started from the same step several times.
        TrainingProcessError: If a training process died.
        NoSpaceError: If the disk is full.
        SystemExit: If training was asked to stop.
    """
    launcher = open_launcher()
    info = PackInfo.read(packed.path(INFO_FILE).parent)
    check_fit(config, info.num_chunks, launcher.num_processes, section=context.section)
    check_responses(info, packed.address)
    check_held_out(config, info, packed.address)
    log("train").info(
        "%s: %d steps of %d chunks of %s tokens; %d training processes",
        config.method,
        count_steps(info.num_chunks, config),
        config.global_batch_size,
        f"{info.chunk_length:,}",
        launcher.num_processes,
    )
    job = TrainingJob(
        config=config,
        packed=absolute_address(packed.address),
        model=absolute_address(model.address),
        base_name=f"sha256:{model.digest}",
        base_hub=hub_origin(model),
        store=context.store,
        prefix=context.upload.prefix,
        attempt=context.upload.attempt,
        tracked=context.tracked,
        code=context.code,
    )
    job.write()
    try:
        job = launcher.run(job, context.stopping)
    except DivergedError as error:
        raise DivergedError(f"{error}. {_last_checkpoint(context.checkpoints)}") from error
    except (KeyboardInterrupt, SystemExit):
        with suppress(*STORE_REFUSALS):
            context.checkpoints.take_back_start()
        raise
    context.upload.go_on_as(job.attempt)
    trained.received(job.read_files())
    _summarise(trained, Recipe.from_json(job.read_output(RECIPE_FILE)))


def hub_origin(model: Source) -> str | None:
    """Say from which repository of a hub, `owner/name@revision`, `fetch_model` copied the model; None if from none.

    What was a GGUF file there is another model to whoever loads it by that name.
    """
    manifest = model.manifest
    if manifest is None or manifest.config.get("format") != "huggingface" or "weights" not in manifest.inputs:
        return None
    address = manifest.inputs["weights"].address
    return address.removeprefix(HUB_SCHEME) if address.startswith(HUB_SCHEME) else None


def check_fit(config: TrainConfig, num_chunks: int, processes: int, *, section: str) -> None:
    """Make sure the settings, those of a `section` of the spec, fit together with the data and the processes.

    Raises:
        ConfigError: If they do not; all problems are listed.
    """
    problems = list(fit_problems(config, processes=processes, num_steps=count_steps(num_chunks, config)))
    if problems:
        raise ConfigError(f"settings of {section}, for {num_chunks:,} chunks", problems)


def check_responses(info: PackInfo, address: str) -> None:
    """Make sure that the data have a token to learn.

    Raises:
        DataError: If no token has a loss.
    """
    if not info.num_response_tokens:
        raise DataError(f"none of the {info.num_tokens:,} tokens in {address} belongs to a response; run pack again")


def _last_checkpoint(checkpoints: Checkpoints) -> str:
    newest = checkpoints.newest()
    if newest is None:
        return "There is no checkpoint of before"
    return f"The last checkpoint of before is that of step {newest.step}: {newest.address}"


def _summarise(trained: Target, recipe: Recipe) -> None:
    trained.rows = recipe.num_steps
    log("train").info(
        "trained %s of %s parameters in %d steps on %s response tokens: loss %.3f at first, %.3f at last",
        f"{recipe.trainable_parameters:,}",
        f"{recipe.total_parameters:,}",
        recipe.num_steps,
        f"{recipe.num_response_tokens:,}",
        recipe.first_loss,
        recipe.last_loss,
    )
    if recipe.best_step is not None:
        log("train").info("the model is of step %d, after which the validation loss was lowest", recipe.best_step)
    if recipe.without_adapter:
        log("train").warning("the adapter leaves as they are: %s", ", ".join(recipe.without_adapter))
