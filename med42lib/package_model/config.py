"""Settings of `package_model`."""

from __future__ import annotations

from med42lib.core.config import StageConfig
from med42lib.formats.models import ModelName


class PackageModelConfig(StageConfig):
    """Which of the models is to be registered."""

    candidate: ModelName
    """The model that becomes the new version of the registered model: its name in `train`, or `base`."""
