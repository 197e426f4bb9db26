"""Whether a run can be done where this process is: what is looked at before anything is spent."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from med42lib.assemble.config import SourceConfig
from med42lib.benchmarks.config import BenchmarkConfig
from med42lib.core.authorities import check_authorities
from med42lib.core.environment import let_through_by_now
from med42lib.core.errors import ConfigError, DataError, Problem, TrackingUnavailable
from med42lib.decontaminate.embedding.layout import LAYOUT_FILE, no_encoder
from med42lib.planning.base_model import base_problems, find_base, warn_of_base
from med42lib.planning.mixture import listed
from med42lib.planning.scoring import scoring_problems
from med42lib.planning.training import cluster_of, cluster_problems, warn_of_room
from med42lib.readers.files import DataFolder
from med42lib.spec import RunSpec
from med42lib.spec_check import can_be_seen, check_inputs
from med42lib.store.address import lies_within, open_store
from med42lib.store.artifacts import Source
from med42lib.tracking.address import check_tracking
from med42lib.train.launchers.launcher import CLUSTER_LAUNCHER, launcher_name
from med42lib.train.launchers.template import JobTemplate

_NO_PODS: Mapping[str, Sequence[str]] = MappingProxyType({})


def check_place(spec: RunSpec, store: str, *, memory: Mapping[str, Sequence[str]] = _NO_PODS) -> None:
    """Make sure that inputs are there, the spec fits base model and machines, and store and MLflow can be used.

    Of the GPUs, the template of training jobs is asked, where one is. What is only probably wrong is a warning.

    Args:
        spec: What is to be run.
        store: Where outputs go.
        memory: Request and limit of each step that scores models in a pod without GPUs.

    Raises:
        ConfigError: If the store is in a folder that is an input. Or if chunks are longer than the base model's
            context, an adapter is larger than its layers, or a training does not fit the GPUs, or a model the pod that
            scores it; all problems at once.
        DataError: If inputs are missing, or files in them that the spec names, all of which are named, or the base
            model's config.json is, or is broken.
        StoreError, AccessError, StoreUnavailable: If the store, or the place of an input, cannot be used.
        TrackingError, AccessError, TrackingUnavailable: If models of this store cannot be registered, and the spec
            asks for it.
        EnvironmentProblem: If certificates are not where the environment says.
    """
    check_authorities()
    check_inputs(spec)
    _check_apart(spec, store)
    if missing := [str(error) for error in _missing_files(spec)]:
        raise DataError("\n  ".join(["not all that the spec names is there:", *missing]))
    with tempfile.TemporaryDirectory(prefix="med42-check-") as cache:
        base = find_base(spec, Path(cache))
    template = JobTemplate.of_environment() if launcher_name() == CLUSTER_LAUNCHER else None
    cluster = None if template is None else cluster_of(template)
    hardware = [] if cluster is None else cluster_problems(spec, base, cluster)
    if problems := [*base_problems(spec, base), *hardware, *scoring_problems(spec, base, memory)]:
        raise ConfigError("the spec, its base model and the machines that train and score", problems)
    warn_of_base(spec, base)
    if template is not None and cluster is not None:
        warn_of_room(spec, base, cluster, template)
    if base.why_not and spec.fetch_model.format == "huggingface" and can_be_seen(spec.inputs.base_model):
        raise DataError(base.why_not)
    open_store(store).check()
    if spec.register_.enabled:
        _check_tracking(store)


def _check_tracking(store: str) -> None:
    try:
        check_tracking(store)
    except TrackingUnavailable:
        if not let_through_by_now():
            raise
        check_tracking(store)


def _check_apart(spec: RunSpec, store: str) -> None:
    """Make sure that no input holds the store, where files come and go while it is read."""
    inputs = {name: address for name, address in spec.inputs.model_dump().items() if can_be_seen(address)}
    problems = [
        Problem(f"inputs.{name}", f"{address} holds the store {store}; choose a --store outside it")
        for name, address in inputs.items()
        if lies_within(store, address)
    ]
    if problems:
        raise ConfigError("the inputs and the store", problems)


def _missing_files(spec: RunSpec) -> Iterator[DataError]:
    """List what is not there of the paths that the spec names inside the data, and an encoder that is none."""
    inputs = spec.inputs
    yield from _missing_paths("assemble.sources", spec.assemble.sources, inputs.training_data)
    yield from _missing_paths("benchmarks.include", spec.benchmarks.include, inputs.benchmark_data)
    if can_be_seen(inputs.encoder) and LAYOUT_FILE not in Source(inputs.encoder).sizes():
        yield DataError(f"inputs.encoder: {no_encoder(inputs.encoder)}")


def _missing_paths(
    where: str, named: Mapping[str, SourceConfig | BenchmarkConfig], address: str
) -> Iterator[DataError]:
    """List the paths that are missing; where a publisher's files usually lie, its reader says."""
    data = listed(address)[0] if can_be_seen(address) else None
    for name, settings in named.items():
        if data is not None and settings.path is not None and settings.hub is None:
            try:
                DataFolder(data).check_holds(settings.path)
            except DataError as error:
                yield DataError(f"{where}.{name}: {error}")
