"""What all components share: the command that runs a stage in a container, and its image."""

from kfp import dsl

from components.images import image_of
from med42lib.catalogue import STAGES


def stage_container(stage: str) -> dsl.ContainerSpec:
    """Describe the container that runs a stage, in the image of its runtime.

    `{{$}}`, the whole executor input, is the only placeholder: every other one differs between the SDK, the
    backend and local runs.
    """
    return dsl.ContainerSpec(
        image=image_of(STAGES[stage].runtime),
        command=["python", "-m", "med42lib", "stage", stage],
        args=["--executor-input", "{{$}}"],
    )
