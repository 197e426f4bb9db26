"""Whether a run can be done where this process is: what is looked at before anything is spent."""

from __future__ import annotations

import tempfile
from pathlib import Path

from med42lib.core.environment import let_through_by_now
from med42lib.core.errors import ConfigError, DataError, TrackingError
from med42lib.planning.base_model import base_problems, find_base, warn_of_base
from med42lib.planning.training import cluster_of, cluster_problems
from med42lib.spec import RunSpec
from med42lib.spec_check import can_be_seen, check_inputs
from med42lib.store.address import open_store
from med42lib.tracking.address import check_tracking
from med42lib.train.launchers import CLUSTER_LAUNCHER, launcher_name
from med42lib.train.launchers.template import JobTemplate


def check_place(spec: RunSpec, store: str) -> None:
    """Make sure that inputs are there, the spec fits base model and GPUs, and store and MLflow can be used.

    Of the GPUs, the template of training jobs is asked, where one is. What is only probably wrong is a warning.

    Raises:
        ConfigError: If chunks are longer than the base model's context, an adapter is larger than its layers, or a
            training does not fit the GPUs; all problems at once.
        DataError: If inputs are missing, all of which are named, or the base model's config.json is, or is broken.
        StoreError, AccessError, StoreUnavailable: If the store, or the place of an input, cannot be used.
        TrackingError: If models of this store cannot be registered, and the spec asks for it.
    """
    check_inputs(spec)
    with tempfile.TemporaryDirectory(prefix="med42-check-") as cache:
        base = find_base(spec, Path(cache))
    cluster = cluster_of(JobTemplate.of_environment()) if launcher_name() == CLUSTER_LAUNCHER else None
    hardware = [] if cluster is None else cluster_problems(spec, base, cluster)
    if problems := [*base_problems(spec, base), *hardware]:
        raise ConfigError("the spec, its base model and the machines that train", problems)
    warn_of_base(spec, base)
    if base.why_not and spec.fetch_model.format == "huggingface" and can_be_seen(spec.inputs.base_model):
        raise DataError(base.why_not)
    open_store(store).check()
    if spec.register_.enabled:
        _check_tracking(store)


def _check_tracking(store: str) -> None:
    try:
        check_tracking(store)
    except TrackingError:
        if not let_through_by_now():
            raise
        check_tracking(store)
