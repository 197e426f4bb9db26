"""Settings of `package_model`."""

from __future__ import annotations

from typing import Literal

from med42lib.core.config import StageConfig


class PackageModelConfig(StageConfig):
    """Which of the two fine-tunes is to be registered."""

    candidate: Literal["full", "lora"]
    """The fine-tune that becomes the new version of the registered model."""
