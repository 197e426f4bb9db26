"""The stage `train`: the driver, which checks, launches, waits, and counts what was trained as its output."""

from __future__ import annotations

from med42lib.core.errors import ConfigError, DataError, EnvironmentProblem
from med42lib.core.log import log
from med42lib.engine.context import StageContext
from med42lib.formats.packed import INFO_FILE, PackInfo
from med42lib.formats.recipe import RECIPE_FILE, Recipe
from med42lib.store.address import absolute_address
from med42lib.store.artifacts import Source, Target
from med42lib.store.checkpoints import Checkpoints
from med42lib.train.config import TrainConfig
from med42lib.train.fit import count_steps, fit_problems
from med42lib.train.job import NUM_PROCESSES, TrainingJob
from med42lib.train.launchers import open_launcher


def train(config: TrainConfig, *, packed: Source, model: Source, trained: Target, context: StageContext) -> None:
    """Fine-tune the base model on packed chunks.

    Args:
        config: How to train.
        packed: Output of `pack`.
        model: Output of `fetch_model`.
        trained: Gets a whole model (`model/`, loadable by mlflow) or an adapter (`peft/`), `recipe.json`, and the
            metrics loss, learning_rate, grad_norm and tokens_per_second of every step.
        context: The attempt, which the training processes put those files into, and the checkpoints, from which they
            go on where a killed attempt was. Asked to stop, they save one more and end.

    Raises:
        ConfigError: If the settings do not fit the data or the number of processes.
        DataError: If no token of the data has a loss.
        EnvironmentProblem: If this machine or cluster lacks what the settings ask for, or a checkpoint is not of as
            many processes.
        ClusterUnavailable: If the cluster that trains is out of reach.
        DivergedError: If the loss is no longer a number.
        TrainingProcessError: If a training process died.
        NoSpaceError: If the disk is full.
        SystemExit: If training was asked to stop.
    """
    launcher = open_launcher()
    check_processes(context.checkpoints, launcher.num_processes)
    info = PackInfo.read(packed.path(INFO_FILE).parent)
    check_fit(config, info.num_chunks, launcher.num_processes)
    check_responses(info, packed.address)
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
        store=context.store,
        prefix=context.upload.prefix,
        attempt=context.upload.attempt,
    )
    job.write()
    job = launcher.run(job, context.stopping)
    context.upload.go_on_as(job.attempt)
    trained.received(job.read_files())
    _summarise(trained, Recipe.from_json(job.read_output(RECIPE_FILE)))


def check_fit(config: TrainConfig, num_chunks: int, processes: int) -> None:
    """Make sure the settings fit together with the data and the processes.

    Raises:
        ConfigError: If they do not; all problems are listed.
    """
    problems = list(fit_problems(config, processes=processes, num_steps=count_steps(num_chunks, config)))
    if problems:
        raise ConfigError(f"settings of train, for {num_chunks} chunks", problems)


def check_responses(info: PackInfo, address: str) -> None:
    """Make sure that the data have a token to learn.

    Raises:
        DataError: If no token has a loss.
    """
    if not info.num_response_tokens:
        raise DataError(f"none of the {info.num_tokens:,} tokens in {address} belongs to a response; run pack again")


def check_processes(checkpoints: Checkpoints, processes: int) -> None:
    """Make sure that as many processes train as saved the newest checkpoint, whose parts are theirs.

    Raises:
        EnvironmentProblem: If there are more or fewer.
    """
    newest = checkpoints.newest()
    if newest is not None and newest.state[NUM_PROCESSES] != processes:
        raise EnvironmentProblem(
            f"the checkpoint {newest.address} was saved by {newest.state[NUM_PROCESSES]} training processes, but there "
            f"are {processes} now; go on with as many (MED42_PROCESSES_PER_NODE), or delete {checkpoints.address} to "
            f"train from the start"
        )


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
