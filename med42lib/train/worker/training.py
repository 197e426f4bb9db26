"""What each training process does under torchrun.

read the job ─► join the others ─► node's first process fetches data and base ─► train ─► first of all puts the output
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from med42lib.core.environment import number_from_environment
from med42lib.core.errors import TERMINATED_EXIT_CODE, DivergedError, EnvironmentProblem, NoProgressError
from med42lib.core.log import log, log_place, set_up_logging
from med42lib.core.progress import progress
from med42lib.core.stop_signal import StopSignal
from med42lib.engine.key import other_code
from med42lib.formats.model_folder import MODEL_FOLDER
from med42lib.formats.packed import PackedDataset, PackInfo
from med42lib.formats.recipe import Recipe
from med42lib.store.address import open_store
from med42lib.store.artifacts import Source, Target, give_usual_modes
from med42lib.store.identity import HashCache
from med42lib.store.metrics import MetricSink
from med42lib.store.patience import expect_answers
from med42lib.store.scratch import attempt_folder, machine_scratch
from med42lib.train.batches import steps
from med42lib.train.config import ResolvedConfig
from med42lib.train.fit import check_held_out, count_steps
from med42lib.train.job import (
    MAX_RESTARTS_VARIABLE,
    OUTPUT,
    STOPPED,
    Failure,
    TrainingJob,
    reported_errors,
)
from med42lib.train.schedule import Schedule
from med42lib.train.worker.deepspeed_engine import (
    MAX_WAIT,
    gathered_parameters,
    join_processes,
    leave_processes,
    make_engine,
)

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed import ProcessGroup

    from med42lib.train.loop import StepResult, Totals
    from med42lib.train.worker.checkpointing import Checkpointing
    from med42lib.train.worker.step_metrics import StepMetrics

_MOST_DIFFERENCES = 5
MAX_RESTARTS = 5
"""How often a training may start again from the same step where the launcher sets no limit."""


def run_training(job_address: str) -> None:
    """Train as the job says; an error ends the process, and the first one is left at the job's address."""
    expect_answers()
    with reported_errors(job_address, machine_scratch()):
        check_code(job_address)
        job = TrainingJob.read(job_address)
    scratch_root = open_store(job.store).scratch_root()
    with (
        log_place(**job.log_place, rank=os.environ["RANK"]),
        attempt_folder(scratch_root, "train-process") as scratch,
        reported_errors(job_address, scratch),
    ):
        set_up_logging()
        waiting = join_processes(job.config)
        _forget_what_was_survived(job_address, waiting)
        if not _is_trained(job, waiting):
            _train(job, scratch, waiting)
        leave_processes(waiting)


def check_code(job_address: str) -> None:
    """Make sure that what trains here is what the output is named by: the driver's code and libraries.

    Raises:
        EnvironmentProblem: If it is not: pods have another image, or an older one of the same tag.
    """
    if differences := other_code(TrainingJob.read_code(job_address)):
        more = f" and {len(differences) - _MOST_DIFFERENCES} more" if len(differences) > _MOST_DIFFERENCES else ""
        raise EnvironmentProblem(
            "training processes have other code or libraries than the driver, which has named their output by its own: "
            f"{', '.join(differences[:_MOST_DIFFERENCES])}{more}; run both from one image, named by its digest, for "
            "which the template of training jobs need name none, or, from a host, check out the image's commit and "
            "install with constraints.txt"
        )


def _forget_what_was_survived(job_address: str, waiting: ProcessGroup) -> None:
    """Have the next failure told instead of the one that processes were started again for."""
    from torch import distributed

    if distributed.get_rank() == 0:
        Failure.forget(job_address)
    distributed.barrier(group=waiting)  # what fails from now on is written, for there is no other


def _is_trained(job: TrainingJob, waiting: ProcessGroup) -> bool:
    """Say whether an earlier start put the whole output. Training again would put other bytes in its place."""
    from torch import distributed

    found = [distributed.get_rank() == 0 and job.has_files()]
    distributed.broadcast_object_list(found, src=0, group=waiting)
    return found[0]


def _fetch(job: TrainingJob, scratch: Path, waiting: ProcessGroup) -> tuple[Path, Path]:
    """Give the folders of the packed data and the base model, which the first process of each node fetches.

    Processes of one node read the same files. Which they are goes round among all, since only a node's own are of use.
    """
    from torch import distributed

    node, fetched = os.environ.get("GROUP_RANK", "0"), None
    if os.environ["LOCAL_RANK"] == "0":
        hashes = HashCache(open_store(job.store))
        packed = Source(job.packed, cache=scratch / "packed", hashes=hashes).path()
        model = Source(job.model, cache=scratch / "model", hashes=hashes).path(MODEL_FOLDER)
        hashes.save(scratch)  # the next training reads no base again
        fetched = packed.absolute(), model.absolute()
    found: list[tuple[str, tuple[Path, Path] | None]] = [("", None)] * distributed.get_world_size()
    distributed.all_gather_object(found, (node, fetched), group=waiting)
    return next(folders for name, folders in found if name == node and folders is not None)


def _train(job: TrainingJob, scratch: Path, waiting: ProcessGroup) -> None:
    from torch import distributed

    from med42lib.formats.stored_weights import StoredNames
    from med42lib.train.worker.checkpointing import Checkpointing
    from med42lib.train.worker.memory_here import choose_here

    started = time.monotonic()
    if distributed.get_rank() == 0:  # what breaks down while it fetches or loads has started, too
        newest = job.checkpoints.newest()
        check_progress(job, newest.step if newest else 0)
    distributed.barrier(group=waiting)
    packed, base = _fetch(job, scratch, waiting)
    data, target = PackedDataset(packed), Target(scratch / "out", _watchers(job))
    target.folder.mkdir()
    check_held_out(job.config, data.info, job.packed)
    config = choose_here(job.config, base, data.info)
    engine = make_engine(config, base)  # refuses a base that lacks weights, which would look like other names
    if config.method == "full":
        StoredNames.of(base).check()
    minutes = job.config.checkpoint_minutes
    checkpointing = Checkpointing(engine, job.checkpoints, target, scratch, minutes=minutes, timeout=MAX_WAIT)
    before = checkpointing.resume()
    if not before.num_steps:
        _check_base(engine, data.info)
    try:
        totals, best_step = _run_steps(engine, data, job, target, checkpointing, before)
    except DivergedError:
        target.metrics.close()  # no other attempt tells the watchers of the last steps
        distributed.barrier(group=waiting)  # torchrun ends all as soon as one has ended
        raise
    recipe = _recipe(engine.module, config, len(data), totals, best_step)
    _save(engine.module, job, base, target.folder, waiting, data.info)
    if distributed.get_rank() == 0:
        recipe.write(target.folder)
        target.metric("trainable_parameters", recipe.trainable_parameters)
        target.metric("total_parameters", recipe.total_parameters)
        target.metric("train_seconds", before.seconds + time.monotonic() - started)
        target.metric("checkpoint_seconds_total", checkpointing.seconds_saving)
        target.metrics.close()
        _put(job, target)


def _watchers(job: TrainingJob) -> list[MetricSink]:
    """Give who shows the metrics while training goes on: the first process tells MLflow, if there is a server."""
    from torch import distributed

    if job.tracked is None or distributed.get_rank() != 0:
        return []
    from med42lib.tracking.live import live_run

    stage, _, key = job.prefix.partition("/")
    run = live_run(job.tracked, stage=stage, key=key, settings=job.config.model_dump(mode="json"), store=job.store)
    return [] if run is None else [run]


def check_progress(job: TrainingJob, step: int) -> None:
    """Count a start, over pods, drivers and machines, and end what has started from the same step as often as it may.

    Then the count begins anew: whoever runs again has seen the error.

    Raises:
        NoProgressError: If it has.
    """
    limit = number_from_environment(MAX_RESTARTS_VARIABLE) or MAX_RESTARTS
    checkpoints = job.checkpoints
    if (starts := checkpoints.count_starts(step)) > limit + 1:
        checkpoints.forget_starts()
        raise NoProgressError(
            f"training has now started {starts} times from step {step} and saved nothing since; see why it broke down "
            "each time, or lower train's checkpoint_minutes, then run again"
        )


def _put(job: TrainingJob, target: Target) -> None:
    """Put the output into the store; the driver seals it."""
    entries = target.files()
    give_usual_modes(target.folder)
    job.upload.put_files(OUTPUT, target.folder, entries)
    job.write_files(entries)


def _check_base(engine: Any, info: PackInfo) -> None:
    """Make sure that the base looks at no later token, and with `best_fit` not into the sample before either."""
    from torch import distributed

    from med42lib.train.engine import evaluating
    from med42lib.train.isolation import check_causality, check_isolation

    name = str((engine.module.config.architectures or [engine.module.config.model_type])[0])
    packed = info.policy == "best_fit"
    with evaluating(engine):
        for check in (check_causality, check_isolation) if packed else (check_causality,):
            check(engine, num_tokens=info.vocabulary_size, name=name, device=engine.device)
    if packed and distributed.get_rank() == 0:
        log("train").info("%s keeps the samples of a chunk apart", name)


def _run_steps(
    engine: Any, data: PackedDataset, job: TrainingJob, target: Target, checkpointing: Checkpointing, totals: Totals
) -> tuple[Totals, int | None]:
    """Train to the end, saving from time to time; `totals` is what was done before.

    Returns:
        What was done after, and the step that the model is of, where the validation loss decides that.

    Raises:
        DivergedError: If loss or gradient is no longer a finite number; that step is recorded.
        SystemExit: If a process was asked to stop, which then all do; the state is saved.
    """
    from torch import distributed

    from med42lib.train.loop import Wishes, check_finite, train_steps
    from med42lib.train.worker.step_metrics import StepMetrics
    from med42lib.train.worker.validating import Validating

    config, first = job.config, totals.num_steps
    metrics, is_first = StepMetrics.of_training(engine.module, config), distributed.get_rank() == 0
    num_steps = count_steps(len(data), config)
    schedule = Schedule(config.learning_rate, config.warmup_steps, num_steps, config.min_lr_ratio)
    validating = Validating(engine, data, config, target)
    validating.after(first)
    best_step = None
    with StopSignal() as stopping:
        training = train_steps(
            engine,
            data,
            steps(len(data), config),
            schedule,
            config,
            first=first,
            wishes=lambda: Wishes(save=checkpointing.due(), stop=stopping.is_set()),
        )
        for result in _reported(training, target, metrics, first, num_steps) if is_first else training:
            totals = totals.after(result)
            check_finite(totals.num_steps, result, config)
            stops = result.wishes.stop and totals.num_steps < num_steps
            if not stops:
                validating.after(totals.num_steps)
            best_step = validating.best_step if config.load_best_model_at_end else None
            if stops:
                _stop(job, totals.num_steps, num_steps, saved=checkpointing.save_now(totals, best_step))
            if totals.num_steps < num_steps and (result.wishes.save or totals.num_steps == best_step):
                checkpointing.save(totals, best_step)
    checkpointing.finish()
    if best_step is not None and best_step != totals.num_steps:
        checkpointing.go_back(best_step)
    return totals, best_step


def _stop(job: TrainingJob, step: int, num_steps: int, *, saved: bool) -> NoReturn:
    how = "saved its state" if saved else "could not save its state"
    text = f"training was asked to stop: it did after step {step} of {num_steps}, and {how}"
    Failure(STOPPED, f"{text}; run the same command again to go on").write(job.address)
    raise SystemExit(TERMINATED_EXIT_CODE)


def _recipe(model: Any, config: ResolvedConfig, num_chunks: int, totals: Totals, best_step: int | None) -> Recipe:
    from torch import distributed

    from med42lib.train.adapter import kinds_of, without_adapter
    from med42lib.train.weights import count_elements
    from med42lib.train.worker.step_metrics import gpu_name

    parameters = list(model.parameters())
    return Recipe(
        method=config.method,
        num_steps=totals.num_steps,
        num_chunks=num_chunks,
        num_tokens=totals.num_tokens,
        num_response_tokens=totals.num_response_tokens,
        trainable_parameters=count_elements(p for p in parameters if p.requires_grad),
        total_parameters=count_elements(parameters),
        world_size=distributed.get_world_size(),
        zero_stage=config.zero_stage,
        first_loss=totals.first_loss,
        last_loss=totals.last_loss,
        without_adapter=kinds_of(without_adapter(model)) if config.has_adapter else [],
        device=gpu_name() or "CPU",
        best_step=best_step,
    )


def _reported(
    results: Iterator[StepResult], target: Target, metrics: StepMetrics, first: int, num_steps: int
) -> Iterator[StepResult]:
    """Pass the steps' results on, showing and recording each."""
    with progress("train", num_steps, unit="steps", initial=first) as bar:
        for number, result in enumerate(results, start=first + 1):
            values = metrics.of_step(result)
            target.log_metrics(values, step=number)
            bar.advance(note=f"loss {result.loss:.3f}, {values['tokens_per_second']:,.0f} tokens/s")
            yield result


def _save(model: Any, job: TrainingJob, base: Path, folder: Path, waiting: ProcessGroup, info: PackInfo) -> None:
    from torch import distributed

    from med42lib.train.weights import save_trained

    def gather(weights: list[Tensor]) -> Any:
        distributed.barrier(group=waiting)  # while the first writes a shard
        return gathered_parameters(weights)

    save_trained(
        model,
        folder,
        method=job.config.method,
        base=base,
        base_name=job.base_name,
        base_hub=job.base_hub,
        end_token_id=info.eos_token_id,
        system=info.system,
        gather=gather,
        writes=distributed.get_rank() == 0,
    )
