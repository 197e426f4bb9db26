"""The stage `train`: checks, then one torchrun with a process per GPU."""

from __future__ import annotations

import tempfile
from pathlib import Path

from med42lib.core.errors import ConfigError
from med42lib.core.log import log
from med42lib.formats.model_folder import MODEL_FOLDER
from med42lib.formats.packed import PackInfo
from med42lib.store.artifacts import Source, Target
from med42lib.train.batches import count_steps
from med42lib.train.config import TrainConfig
from med42lib.train.fit import misfits
from med42lib.train.launcher import check_launcher, processes_per_node, run_torchrun, threads_per_process
from med42lib.train.recipe import Recipe
from med42lib.train.request import Request
from med42lib.train.worker import run_worker


def train(config: TrainConfig, *, packed: Source, model: Source, trained: Target) -> None:
    """Fine-tune the base model on packed chunks.

    Args:
        config: How to train.
        packed: Output of `pack`.
        model: Output of `fetch_model`.
        trained: Gets a whole model (`model/`, loadable by mlflow) or an adapter (`peft/`), `recipe.json`, and the
            metrics loss, learning_rate, grad_norm and tokens_per_second of every step.

    Raises:
        ConfigError: If the settings do not fit the data or the number of processes.
        EnvironmentProblem: If this machine lacks what the settings ask for.
        DivergedError: If the loss is no longer a number.
        TrainingProcessError: If a training process died.
        NoSpaceError: If the disk is full.
    """
    check_launcher()
    processes = processes_per_node()
    info = PackInfo.read(packed.path())
    check_fit(config, info.num_chunks, processes)
    log("train").info(
        "%s: %d steps of %d chunks of %s tokens; %d training processes, threads of each: %d",
        config.method,
        count_steps(info.num_chunks, config),
        config.global_batch_size,
        f"{info.chunk_length:,}",
        processes,
        threads_per_process(processes),
    )
    with tempfile.TemporaryDirectory(prefix="train-", dir=trained.folder.parent) as scratch:
        request = Request(
            config=config,
            packed=packed.path().absolute(),
            model=model.path(MODEL_FOLDER).absolute(),
            base_name=f"sha256:{model.digest}",
            trained=trained.folder.absolute(),
            failure=Path(scratch) / "failure.json",
        )
        request.write(Path(scratch) / "request.json")
        run_torchrun(run_worker, Path(scratch) / "request.json", processes=processes, failure=request.failure)
    _summarise(trained)


def check_fit(config: TrainConfig, num_chunks: int, processes: int) -> None:
    """Make sure the settings fit together with the data and the processes.

    Raises:
        ConfigError: If they do not; all problems are listed.
    """
    problems = list(misfits(config, processes=processes, num_steps=count_steps(num_chunks, config)))
    if problems:
        raise ConfigError(f"settings of train, for {num_chunks} chunks", problems)


def _summarise(trained: Target) -> None:
    recipe = Recipe.read(trained.folder)
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
