"""Whether a run can be done where this process is: what is looked at before anything is spent."""

from __future__ import annotations

import tempfile
from pathlib import Path

from med42lib.core.errors import DataError
from med42lib.planning.base_model import check_base
from med42lib.spec import RunSpec
from med42lib.spec_check import can_be_seen, check_inputs
from med42lib.store.address import open_store
from med42lib.tracking.address import check_tracking


def check_place(spec: RunSpec, store: str) -> None:
    """Make sure that the inputs are there, the spec fits the base model, and store and MLflow can be used.

    Raises:
        ConfigError: If chunks are longer than the base model's context, or an adapter larger than its layers.
        DataError: If inputs are missing, all of which are named, or the base model's config.json is, or is broken.
        StoreError, AccessError, StoreUnavailable: If the store, or the place of an input, cannot be used.
        TrackingError: If models of this store cannot be registered, and the spec asks for it.
    """
    check_inputs(spec)
    with tempfile.TemporaryDirectory(prefix="med42-check-") as cache:
        base = check_base(spec, Path(cache))
    if base.why_not and spec.fetch_model.format == "huggingface" and can_be_seen(spec.inputs.base_model):
        raise DataError(base.why_not)
    open_store(store).check()
    if spec.register_.enabled:
        check_tracking(store)
