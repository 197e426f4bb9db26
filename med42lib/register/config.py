"""Settings of `register`."""

from __future__ import annotations

from pydantic import Field

from med42lib.core.config import StageConfig


class RegisterConfig(StageConfig):
    """Where in MLflow the run is recorded.

    The tracking address is no setting but a fact of the place: `MLFLOW_TRACKING_URI`.
    """

    experiment: str = Field(min_length=1, max_length=500, pattern=r"^\S(.*\S)?$")
    """Name of the MLflow experiment that the run is listed under; made if it does not exist."""

    model_name: str = Field(max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9_. -]*$")
    """Name of the registered model that gets a new version; made if it does not exist."""

    description: str = Field(default="", max_length=5000)
    """Note shown with the run and the model version."""

    tags: dict[str, str] = Field(default_factory=dict)
    """Tags of your own for the run and the model version."""
